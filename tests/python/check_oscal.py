"""check_oscal.py FILE [SCHEMA]: whether OSCAL assessment results are valid, by compliance-trestle and, if it is given, by the
official JSON Schema of their version.

Prints a line for each problem, and ends with 1 if there is one.
"""

import json
import sys
import tempfile
from pathlib import Path

import jsonschema
import regex
from trestle.oscal.assessment_results import AssessmentResults


def pattern(_validator, wanted, instance, _schema):
    """The schema has classes of Unicode, which Python's own expressions do not know."""
    if isinstance(instance, str) and not regex.search(wanted, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {wanted!r}")


def main(path, schema=None):
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
    if schema:
        validator = jsonschema.validators.extend(jsonschema.Draft7Validator, {"pattern": pattern})
        for error in validator(json.loads(schema.read_text())).iter_errors(document):
            problems.append(f"schema: {list(error.path)}: {error.message[:200]}")
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main(*map(Path, sys.argv[1:])))
