"""check_oscal.py FILE: whether OSCAL assessment results are valid, by compliance-trestle and by the official JSON Schema.

Prints a line for each problem, and ends with 1 if there is one.
"""

import json
import sys
import tempfile
from pathlib import Path

import jsonschema
import regex
from trestle.oscal.assessment_results import AssessmentResults

SCHEMA = Path(__file__).parent / "schemas" / "oscal-1.2.1-assessment-results.json"


def pattern(_validator, wanted, instance, _schema):
    """The schema has classes of Unicode, which Python's own expressions do not know."""
    if isinstance(instance, str) and not regex.search(wanted, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {wanted!r}")


def main(path):
    problems = []
    document = json.loads(path.read_text())
    # trestle reads files by their ending only.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "assessment-results.json"
        copy.write_text(path.read_text())
        try:
            read = AssessmentResults.oscal_read(copy)
            if read is None or not read.results:
                problems.append("trestle: no results")
        except Exception as error:  # trestle wraps what pydantic raises
            problems.append(f"trestle: {error}")
    validator = jsonschema.validators.extend(jsonschema.Draft7Validator, {"pattern": pattern})
    for error in validator(json.loads(SCHEMA.read_text())).iter_errors(document):
        problems.append(f"schema: {list(error.path)}: {error.message[:200]}")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main(Path(sys.argv[1])))
