"""count_rows.py TABLE: counts a Delta table's rows as two readers that are not ours see them.

Prints one JSON object: {"deltalake": rows, "duckdb": rows, "by_class": {class: rows}}. DuckDB gets the list of files, since
its own Delta reader is an extension that has to be downloaded; what it checks is that it can read our Parquet.
"""

import json
import sys

import duckdb
from deltalake import DeltaTable


def main(path: str) -> None:
    table = DeltaTable(path)
    dataset = table.to_pyarrow_dataset()
    classes = dataset.to_table(columns=["class"]).group_by("class").aggregate([([], "count_all")]).to_pylist()
    files = table.file_uris()
    # DuckDB refuses an empty list, and a new table has no files yet.
    read = "SELECT count(*) FROM read_parquet(?, union_by_name = true)"
    in_duckdb = duckdb.execute(read, [files]).fetchone()[0] if files else 0
    by_class = {row["class"]: row["count_all"] for row in sorted(classes, key=lambda row: row["class"])}
    print(json.dumps({"deltalake": dataset.count_rows(), "duckdb": in_duckdb, "by_class": by_class}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: count_rows.py TABLE")
    main(sys.argv[1])
