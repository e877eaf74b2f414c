//! The functions our SQL has beside DataFusion's own.
//!
//! | function | gives |
//! |---|---|
//! | `bit_count(bits)` | how many bits of a number are set |
//! | `hour_bit(time)` | one bit, of the hour of the UTC day |
//! | `hour_start(time)` | when the UTC hour began |
//! | `minute_bit(time, from, to)` | one bit, of the minute of its hour, if the hour of the UTC day is `from` or later and before `to` |
//! | `scopes_text(scopes)` | texts of a list as one text, U+001F between them |
//! | `user_agent_family(text)` | a user agent without version numbers: what stays the same when a client is updated |

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, Int64Array, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{ArrowNativeType as _, DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;

use crate::event::columns::TABLE_SCHEMA;

/// Makes the functions known to a session.
pub fn register(context: &SessionContext) {
    for function in FUNCTIONS.iter() {
        context.register_udf(function.clone());
    }
}

/// Made once: of two that were made alike a plan does not know that they are the same.
static FUNCTIONS: LazyLock<[ScalarUDF; 6]> = LazyLock::new(|| {
    let moment = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let of_minute = vec![moment(), DataType::Int64, DataType::Int64];
    [
        scalar("bit_count", DataType::Int64, DataType::Int64, bit_counts),
        scalar("hour_bit", moment(), DataType::Int64, hour_bits),
        scalar("hour_start", moment(), moment(), hour_starts),
        create_udf("minute_bit", of_minute, DataType::Int64, Volatility::Immutable, Arc::new(minute_bits)),
        scalar("scopes_text", event_column("scopes"), DataType::Utf8View, scopes_texts),
        scalar("user_agent_family", DataType::Utf8View, DataType::Utf8View, families),
    ]
});

fn event_column(name: &str) -> DataType {
    TABLE_SCHEMA.field_with_name(name).map_or(DataType::Null, |field| field.data_type().clone())
}

/// A function of one column, and of nothing else.
fn scalar(name: &str, from: DataType, to: DataType, of: fn(&ArrayRef) -> Result<ArrayRef>) -> ScalarUDF {
    let call = move |values: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(values)?;
        let made = of(&arrays[0])?;
        let is_scalar = values.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    };
    create_udf(name, vec![from], to, Volatility::Immutable, Arc::new(call))
}

/// A function that says whether a text is one of these. It is looked up and not listed in the plan, whatever their number;
/// once for rows that follow each other with one text, as those of a grant do.
pub fn one_of(texts: HashSet<String>) -> ScalarUDF {
    let call = move |values: &[ColumnarValue]| {
        let column = cast(&values[0].to_array(1)?, &DataType::Utf8View)?;
        let mut last = (None, None);
        let found = column.as_string_view().iter().map(|text| {
            if text != last.0 {
                last = (text, text.map(|text| texts.contains(text)));
            }
            last.1
        });
        Ok(ColumnarValue::Array(Arc::new(found.collect::<BooleanArray>())))
    };
    create_udf("one_of", vec![DataType::Utf8View], DataType::Boolean, Volatility::Immutable, Arc::new(call))
}

fn bit_counts(bits: &ArrayRef) -> Result<ArrayRef> {
    let bits = cast(bits, &DataType::Int64)?;
    let counts = bits.as_primitive::<Int64Type>().iter().map(|b| b.map(|b| i64::from(b.count_ones())));
    Ok(Arc::new(counts.collect::<Int64Array>()))
}

/// Stands in no scope (RFC 6749, section 3.3).
const SEPARATOR: &str = "\u{1f}";

/// Microseconds.
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

fn hour_bits(times: &ArrayRef) -> Result<ArrayRef> {
    let bits = times.as_primitive::<TimestampMicrosecondType>();
    Ok(Arc::new(bits.unary::<_, Int64Type>(|at| 1 << at.div_euclid(HOUR).rem_euclid(24))))
}

fn hour_starts(times: &ArrayRef) -> Result<ArrayRef> {
    let starts = times.as_primitive::<TimestampMicrosecondType>();
    let starts = starts.unary::<_, TimestampMicrosecondType>(|at| at.saturating_sub(at.rem_euclid(HOUR)));
    Ok(Arc::new(starts.with_data_type(times.data_type().clone())))
}

fn minute_bits(values: &[ColumnarValue]) -> Result<ColumnarValue> {
    let hour = |value: &ColumnarValue| match value {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(hour))) => Ok(*hour),
        _ => exec_err!("minute_bit wants hours as plain numbers"),
    };
    let (from, to) = (hour(&values[1])?, hour(&values[2])?);
    let times = values[0].to_array(1)?;
    let bits = times.as_primitive::<TimestampMicrosecondType>().unary_opt::<_, Int64Type>(|at| {
        let hour = at.div_euclid(HOUR).rem_euclid(24);
        (from <= hour && hour < to).then(|| 1 << at.div_euclid(MINUTE).rem_euclid(60))
    });
    let bits: ArrayRef = Arc::new(bits);
    match &values[0] {
        ColumnarValue::Scalar(_) => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&bits, 0)?)),
        ColumnarValue::Array(_) => Ok(ColumnarValue::Array(bits)),
    }
}

/// Rows that follow each other nearly always have the same, as those of a grant do: it is put together once.
fn scopes_texts(lists: &ArrayRef) -> Result<ArrayRef> {
    let lists = lists.as_list::<i32>();
    let scopes = cast(lists.values(), &DataType::Utf8View)?;
    let scopes = scopes.as_string_view();
    let ends = lists.value_offsets();
    let mut texts = StringViewBuilder::with_capacity(lists.len());
    let (mut last, mut text) = (None, String::new());
    for row in 0..lists.len() {
        if lists.is_null(row) {
            texts.append_null();
            continue;
        }
        let list = ends[row].as_usize()..ends[row + 1].as_usize();
        let of = |list: &Range<usize>| list.clone().map(|n| scopes.is_valid(n).then(|| scopes.value(n)));
        if last.as_ref().is_none_or(|last| !of(last).eq(of(&list))) {
            text.clear();
            for (n, scope) in of(&list).flatten().enumerate() {
                text.push_str(if n > 0 { SEPARATOR } else { "" });
                text.push_str(scope);
            }
            last = Some(list);
        }
        texts.append_value(&text);
    }
    Ok(Arc::new(texts.finish()))
}

fn families(agents: &ArrayRef) -> Result<ArrayRef> {
    let agents = cast(agents, &DataType::Utf8View)?;
    if agents.null_count() == agents.len() {
        return Ok(agents);
    }
    // The same few over and over.
    let mut known = HashMap::new();
    let mut families = StringViewBuilder::with_capacity(agents.len()).with_deduplicate_strings();
    let mut last: (Option<&str>, Option<String>) = (None, None);
    for agent in agents.as_string_view() {
        if agent != last.0 {
            last = (agent, agent.and_then(|agent| known.entry(agent).or_insert_with(|| family(agent)).clone()));
        }
        families.append_option(last.1.as_deref());
    }
    Ok(Arc::new(families.finish()))
}

/// The words of a user agent in lower case, numbers and punctuation left out; `None` if it has no word.
///
/// `gh/2.61` and `gh/2.70.1` are of the family `gh`; a browser's is its words for product and operating system.
fn family(agent: &str) -> Option<String> {
    let mut family = String::with_capacity(agent.len());
    let mut words = agent.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    family.push_str(words.next()?);
    for word in words {
        family.push(' ');
        family.push_str(word);
    }
    family.make_ascii_lowercase();
    Some(family)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ListBuilder, StringViewArray};

    use super::*;

    #[test]
    fn an_update_stays_in_the_family() {
        let of = |agent| family(agent).unwrap_or_default();
        assert_eq!(of("gh/2.61"), "gh");
        assert_eq!(of("gh/2.61"), of("GH/2.70.1"));
        assert_eq!(of("aws-cli/2.13.0 Linux/6.1"), "aws cli linux");
        assert_ne!(of("aws-cli/2.13.0 Linux/6.1"), of("aws-cli/2.13.0 Darwin/23"));
        assert_eq!(family("1.2.3"), None);
    }

    #[tokio::test]
    async fn sql_knows_them() {
        let context = crate::query::session(crate::query::Limits::default()).unwrap();
        let sql = "SELECT bit_count(column1), user_agent_family(column2) FROM (VALUES (7, 'a/1'), (-1, NULL))";
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let counts: Vec<_> = rows[0].column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(counts, [Some(3), Some(64)]);
        assert!(rows[0].column(1).is_null(1));
    }

    #[test]
    fn scopes_are_put_together_as_they_stand() {
        let (ab, ba) = ([Some("a"), Some("b")], [Some("b"), Some("a")]);
        let lists: [Option<&[Option<&str>]>; 11] = [
            Some(&ba),
            Some(&ab),
            Some(&ab),
            Some(&ba),
            None,
            Some(&[Some("a"), None, Some("b")]),
            Some(&[Some("")]),
            Some(&[Some(""), Some("")]),
            Some(&[None]),
            None,
            Some(&[]),
        ];
        let mut builder = ListBuilder::new(StringViewBuilder::new());
        for list in lists {
            for scope in list.unwrap_or_default() {
                builder.values().append_option(*scope);
            }
            builder.append(list.is_some());
        }
        let lists: ArrayRef = Arc::new(builder.finish());
        // A part of a larger array has its places in the larger one.
        let texts = scopes_texts(&lists.slice(1, 10)).unwrap();
        let texts: Vec<_> = texts.as_string_view().iter().collect();
        let (ab, ba) = (Some("a\u{1f}b"), Some("b\u{1f}a"));
        assert_eq!(texts, [ab, ab, ba, None, ab, Some(""), Some("\u{1f}"), Some(""), None, Some("")]);
    }

    #[tokio::test]
    async fn bits_of_hours_and_minutes_are_those_of_the_calendar() {
        let context = crate::query::session(crate::query::Limits::default()).unwrap();
        let times = "'1969-12-31T23:59:59.999999Z', '1970-01-01T00:00:00Z', '2026-05-02T02:59:59.999999Z', '2026-05-02T03:00:00Z'";
        let sql = format!(
            "SELECT bool_and(hour_bit(at) = CAST(1 AS BIGINT) << CAST(date_part('hour', at) AS BIGINT)), \
                    bool_and(hour_start(at) = date_trunc('hour', at)), \
                    bool_and(minute_bit(at, 0, 24) = CAST(1 AS BIGINT) << CAST(date_part('minute', at) AS BIGINT)), \
                    bool_and((minute_bit(at, 0, 3) IS NOT NULL) = (date_part('hour', at) < 3)), COUNT(minute_bit(at, 0, 3)), \
                    COUNT(at) \
             FROM (SELECT to_timestamp_micros(CAST(at AS TIMESTAMPTZ)) AS at FROM unnest(make_array({times})) AS t(at))"
        );
        let rows = context.sql(&sql).await.unwrap().collect().await.unwrap();
        for column in 0..4 {
            assert!(rows[0].column(column).as_boolean().value(0), "{rows:?}");
        }
        let counts: Vec<i64> = [4, 5].map(|n| rows[0].column(n).as_primitive::<Int64Type>().value(0)).to_vec();
        assert_eq!(counts, [2, 4]);
    }

    #[test]
    fn each_row_is_looked_up_as_it_is() {
        let texts = HashSet::from(["a".to_owned(), "b".to_owned()]);
        let column: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("a"), Some("a"), None, Some("c"), Some("c"), Some("b"), None]));
        let args = datafusion::logical_expr::ScalarFunctionArgs {
            args: vec![ColumnarValue::Array(column)],
            arg_fields: vec![Arc::new(datafusion::arrow::datatypes::Field::new("a", DataType::Utf8View, true))],
            number_rows: 7,
            return_field: Arc::new(datafusion::arrow::datatypes::Field::new("f", DataType::Boolean, true)),
            config_options: Default::default(),
        };
        let found = one_of(texts).invoke_with_args(args).unwrap().to_array(7).unwrap();
        let found: Vec<_> = found.as_boolean().iter().collect();
        assert_eq!(found, [Some(true), Some(true), None, Some(false), Some(false), Some(true), None]);
    }
}
