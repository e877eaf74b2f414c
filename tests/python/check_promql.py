"""Parses every PromQL expression of alert rules (YAML) and dashboards (JSON); says which one is wrong."""

import json
import re
import sys

import promql_parser
import yaml


def expressions(path):
    with open(path, encoding="utf-8") as file:
        if path.endswith(".json"):
            for panel in json.load(file)["panels"]:
                for target in panel["targets"]:
                    yield panel["title"], target["expr"]
        else:
            for group in yaml.safe_load(file)["groups"]:
                for rule in group["rules"]:
                    yield rule["alert"], rule["expr"]


def main():
    count = 0
    for path in sys.argv[1:]:
        for name, text in expressions(path):
            # Grafana puts its own variables in before Prometheus sees them.
            plain = re.sub(r"\$__(rate_)?interval", "1m", text).replace("$job", "tokentrail")
            try:
                promql_parser.parse(plain)
            except ValueError as error:
                sys.exit(f"{path}: {name}: {error}\n  {text}")
            count += 1
    if count == 0:
        sys.exit("no expression found")
    print(f"{count} expressions")


main()
