//! People under the one id that counts: the names of the [`Identities`] reference are put together when rows are read.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;

use super::QueryError;
use crate::identities::Identities;

/// The column that is changed.
const SUBJECT: &str = "subject_id";

/// The same rows, in which each subject has the id that counts. Done twice it changes nothing more.
pub fn resolved(
    context: &SessionContext,
    rows: Arc<dyn TableProvider>,
    identities: &Arc<Identities>,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let schema = rows.schema();
    if identities.is_empty() || schema.column_with_name(SUBJECT).is_none() {
        return Ok(rows);
    }
    let subject_of = subject_of(identities.clone());
    let column = |name: &String| Expr::Column(Column::new_unqualified(name));
    let wanted = schema.fields().iter().map(|field| match field.name() {
        name if name == SUBJECT => subject_of.call(vec![column(name)]).alias(SUBJECT),
        name => column(name),
    });
    Ok(context.read_table(rows)?.select(wanted.collect::<Vec<_>>())?.into_view())
}

fn subject_of(identities: Arc<Identities>) -> ScalarUDF {
    let call = move |values: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(values)?;
        let names = cast(&arrays[0], &DataType::Utf8View)?;
        let names = names.as_string_view().iter();
        let subjects: StringViewArray = names.map(|name| name.map(|name| identities.subject_of(name))).collect();
        Ok(ColumnarValue::Array(Arc::new(subjects) as ArrayRef))
    };
    create_udf("subject_of", vec![DataType::Utf8View], DataType::Utf8View, Volatility::Immutable, Arc::new(call))
}
