"""check_ocsf.py FILE.ndjson: whether OCSF compliance findings are valid, by py-ocsf-models (OCSF 1.5.0) and by the schema of
the version that they name, as OCSF publishes it: two implementations that are not ours.

Prints the number of findings, then a line for each problem, and ends with 1 if there is one.
"""

import json
import sys
from pathlib import Path

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding


def validator(event):
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=event["metadata"]["version"]))
    name = schemas.lookup_class_name_from_uid(class_uid=event["class_uid"])
    profiles = list(event["metadata"].get("profiles", []))
    return jsonschema.Draft202012Validator(schemas.get_class_schema(class_name=name, profiles=profiles))


def main(path):
    problems, number, by_schema = [], 0, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        finding = json.loads(line)
        by_schema = by_schema or validator(finding)
        problems += [f"{number}: {error.json_path}: {error.message[:200]}" for error in by_schema.iter_errors(finding)]
        if finding.get("type_uid") != finding.get("class_uid", 0) * 100 + finding.get("activity_id", 0):
            problems.append(f"{number}: type_uid does not follow from class_uid and activity_id")
        try:
            ComplianceFinding.model_validate_json(line)
        except ValueError as error:
            problems.append(f"{number}: py-ocsf-models: {error}")
    print(number)
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main(Path(sys.argv[1])))
