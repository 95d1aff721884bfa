"""Holds requests and answers against a processor's published description, where it is there."""

import json
import re
from functools import cache

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from .wire import SPECS


class OpenApi:
    """One OpenAPI 3.1 file."""

    def __init__(self, path):
        self.document = json.loads(path.read_text())
        resource = Resource.from_contents(self.document, default_specification=DRAFT202012)
        self.registry = Registry().with_resource("urn:spec", resource)
        self.paths = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in self.document["paths"]
        ]

    def check_answer(self, method, path, status, body):
        """Assert that an answer is what the description promises; unknown addresses are skipped."""
        operation = self.operation(method, path)
        if operation is None:
            return
        responses = operation["responses"]
        promised = responses.get(str(status), responses.get("default"))
        assert promised is not None, f"{method} {path} never answers {status}"
        promised = self._resolved(promised)
        schema = promised.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            return
        self._validate(schema, body)

    def check_form(self, method, path, fields):
        """Whether form fields (nested, as text) are what the description takes."""
        content = self.operation(method, path)["requestBody"]["content"]
        (schema,) = (kind["schema"] for kind in content.values())
        return not list(self._validator(schema).iter_errors(fields))

    def operation(self, method, path):
        exact = self.document["paths"].get(path)
        for pattern, name in self.paths:
            if exact is None and pattern.fullmatch(path):
                exact = self.document["paths"][name]
        return exact.get(method.lower()) if exact else None

    def _resolved(self, part):
        while "$ref" in part:
            target = self.document
            for name in part["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            part = target
        return part

    def _validator(self, schema):
        absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:spec#/'))
        return Draft202012Validator(absolute, registry=self.registry)

    def _validate(self, schema, body):
        errors = sorted(self._validator(schema).iter_errors(body), key=lambda error: error.path)
        told = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in errors[:5]]
        assert not errors, told


@cache
def stripe_spec():
    path = SPECS / "stripe-refunds.openapi.json"
    return OpenApi(path) if path.exists() else None


@cache
def paypal_spec():
    path = SPECS / "paypal-refunds.openapi.json"
    return OpenApi(path) if path.exists() else None


needs_specs = pytest.mark.skipif(
    stripe_spec() is None or paypal_spec() is None,
    reason="the OpenAPI files are not there; REFUND_DESK_SPECS names the folder that has them",
)
