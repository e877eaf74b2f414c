"""Checks OCSF events, one a line on standard input, against the schema of their version as OCSF publishes it.

Prints how many there were; the first that does not fit ends it with exit code 1.
"""

import json
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

validators = {}
count = 0
for line in sys.stdin:
    event = json.loads(line)
    version, profiles = event["metadata"]["version"], tuple(event["metadata"].get("profiles", []))
    known = (version, event["class_uid"], profiles)
    if known not in validators:
        schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
        name = schemas.lookup_class_name_from_uid(class_uid=event["class_uid"])
        schema = schemas.get_class_schema(class_name=name, profiles=list(profiles))
        validators[known] = jsonschema.Draft202012Validator(schema)
    errors = sorted(validators[known].iter_errors(event), key=str)
    for error in errors:
        print(f"{error.json_path}: {error.message[:300]}", file=sys.stderr)
    if errors or event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        sys.exit(1)
    count += 1
print(count)
