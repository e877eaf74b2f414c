"""check_ocsf.py FILE.ndjson: whether OCSF compliance findings are valid, by py-ocsf-models (OCSF 1.5.0, an implementation that is
not ours) and by the schema of the version that they name.

Prints the number of findings, then a line for each problem, and ends with 1 if there is one.
"""

import json
import sys
from pathlib import Path

from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "ocsf-1.8.0-compliance-finding.json").read_text())
WHOLE = {"integer_t", "long_t", "port_t", "timestamp_t"}


def check(value, spec, path):
    attributes = spec["attributes"]
    for name, attribute in attributes.items():
        if attribute.get("requirement") == "required" and not attribute.get("profile") and name not in value:
            yield f"{path}.{name}: required, and missing"
    one_of = (spec.get("constraints") or {}).get("at_least_one")
    if one_of and not any(name in value for name in one_of):
        yield f"{path}: needs one of {one_of}"
    for name, member in value.items():
        attribute = attributes.get(name)
        if attribute is None:
            yield f"{path}.{name}: not in the schema"
            continue
        if attribute.get("deprecated"):
            yield f"{path}.{name}: deprecated"
        if attribute.get("is_array", False) != isinstance(member, list):
            yield f"{path}.{name}: a list where there should be none, or none where there should be one"
            continue
        for each in member if isinstance(member, list) else [member]:
            yield from one(each, attribute, f"{path}.{name}")


def one(value, attribute, path):
    kind = attribute.get("object_type")
    if kind == "object":
        return
    if kind:
        if not isinstance(value, dict):
            yield f"{path}: no object"
        elif kind not in SCHEMA["objects"]:
            yield f"{path}: {kind} is not in the part of the schema that is kept here"
        else:
            yield from check(value, SCHEMA["objects"][kind], path)
        return
    if attribute.get("type") in WHOLE and (not isinstance(value, int) or isinstance(value, bool)):
        yield f"{path}: {value!r} is no whole number"
    if attribute.get("type") == "string_t" and not isinstance(value, str):
        yield f"{path}: {value!r} is no text"
    if attribute.get("enum") and str(value) not in attribute["enum"]:
        yield f"{path}: {value!r} is none of {attribute['enum']}"


def main(path):
    problems, number = [], 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        finding = json.loads(line)
        problems += [f"{number}: {problem}" for problem in check(finding, SCHEMA["class"], "finding")]
        if finding.get("type_uid") != finding.get("class_uid", 0) * 100 + finding.get("activity_id", 0):
            problems.append(f"{number}: type_uid does not follow from class_uid and activity_id")
        if finding.get("metadata", {}).get("version") != SCHEMA["version"]:
            problems.append(f"{number}: another version than {SCHEMA['version']}")
        try:
            ComplianceFinding.model_validate_json(line)
        except ValueError as error:
            problems.append(f"{number}: py-ocsf-models: {error}")
    print(number)
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main(Path(sys.argv[1])))
