"""The small JSON services beside EC2: SSM's public parameters, vCPU quotas and on-demand prices.

Each function returns the answer, or None where moto is to answer. May import: cloud, images, catalog.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aspot.local.catalog import QUOTA_CLASSES, Offer
from aspot.local.cloud import Cloud
from aspot.local.filters import page
from aspot.local.images import public_parameters
from aspot.local.moto_seams import ACCOUNT
from aspot.local.prices import share
from aspot.local.refusal import Refusal

__all__ = ["answer_json"]

_PUBLIC = "/aws/service/"
# Pricing calls Regions by what its users read; only those that a test or demo is likely to name.
_LOCATIONS = {
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
    "eu-west-1": "EU (Ireland)",
    "eu-central-1": "EU (Frankfurt)",
}


def answer_json(
    cloud: Cloud, *, service: str, region: str, action: str, request: dict[str, Any]
) -> dict[str, Any] | None:
    """Answer a request of SSM, Service Quotas or Pricing; None if moto is to answer.

    Raises:
        Refusal: as AWS refuses it.
    """
    if service == "ssm":
        return _ssm(region, action, request)
    if service == "servicequotas":
        return _quotas(cloud, region, action, request)
    if service == "pricing":
        return _pricing(cloud, action, request)
    return None


def _ssm(region: str, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
    known = public_parameters(region)
    match action:
        case "GetParameter" if str(request.get("Name")).startswith(_PUBLIC):
            name = request["Name"]
            if name not in known:
                raise Refusal("ParameterNotFound", f"Parameter {name} not found.")
            return {"Parameter": _parameter(region, name, known[name])}
        case "GetParameters" if all(name.startswith(_PUBLIC) for name in request.get("Names", ())):
            names = request.get("Names", ())
            found = [_parameter(region, name, known[name]) for name in names if name in known]
            return {"Parameters": found, "InvalidParameters": [name for name in names if name not in known]}
        case "GetParametersByPath" if str(request.get("Path")).startswith(_PUBLIC.rstrip("/")):
            return _by_path(region, known, request)
    return None


def _by_path(region: str, known: dict[str, str], request: dict[str, Any]) -> dict[str, Any]:
    path = request["Path"].rstrip("/") + "/"
    below = [name for name in sorted(known) if name.startswith(path)]
    if not request.get("Recursive"):
        below = [name for name in below if "/" not in name.removeprefix(path)]
    found, token = page(
        below, {"MaxResults": request.get("MaxResults") or 10, "NextToken": request.get("NextToken")}, lowest=1
    )
    answer: dict[str, Any] = {"Parameters": [_parameter(region, name, known[name]) for name in found]}
    return answer | ({"NextToken": token} if token else {})


def _parameter(region: str, name: str, value: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "String",
        "Value": value,
        "Version": 1,
        "LastModifiedDate": 1793750400.0,
        "ARN": f"arn:aws:ssm:{region}::parameter{name}",
        "DataType": "aws:ec2:image" if "canonical" in name or "debian" in name else "text",
    }


def _quotas(cloud: Cloud, region: str, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
    if action not in ("GetServiceQuota", "ListServiceQuotas", "GetAWSDefaultServiceQuota"):
        return None
    if request.get("ServiceCode") != "ec2":
        return None
    quotas = {quota["QuotaCode"]: quota for quota in _all_quotas(cloud, region)}
    if action == "ListServiceQuotas":
        found, token = page(list(quotas.values()), request, lowest=1)
        return {"Quotas": list(found)} | ({"NextToken": token} if token else {})
    quota = quotas.get(str(request.get("QuotaCode")))
    if quota is None:
        raise Refusal(
            "NoSuchResourceException", "The request failed because the specified service quota does not exist."
        )
    return {"Quota": quota}


def _all_quotas(cloud: Cloud, region: str) -> Iterator[dict[str, Any]]:
    for kind in QUOTA_CLASSES:
        for code, name in ((kind.spot_code, kind.spot_name), (kind.on_demand_code, kind.on_demand_name)):
            yield {
                "ServiceCode": "ec2",
                "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
                "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:ec2/{code}",
                "QuotaCode": code,
                "QuotaName": name,
                "Value": cloud.quota(code),
                "Unit": "None",
                "Adjustable": True,
                "GlobalQuota": False,
            }


def _pricing(cloud: Cloud, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
    if action != "GetProducts" or request.get("ServiceCode") != "AmazonEC2":
        return None
    wanted = {found["Field"]: _accepted(found) for found in request.get("Filters", ())}
    products = [json.dumps(product) for product in _products(cloud, wanted)]
    found, token = page(
        products, {"MaxResults": request.get("MaxResults") or 100, "NextToken": request.get("NextToken")}, lowest=1
    )
    return {"FormatVersion": "aws_v1", "PriceList": list(found)} | ({"NextToken": token} if token else {})


def _accepted(filter_: dict[str, str]) -> tuple[str, ...]:
    """Return the values a filter lets through: one, or several after commas for ANY_OF."""
    value = filter_["Value"]
    return tuple(value.split(",")) if filter_.get("Type") == "ANY_OF" else (value,)


def _products(cloud: Cloud, wanted: dict[str, tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    regions = [code for code, name in _LOCATIONS.items() if name in wanted.get("location", (name,))]
    region = next(iter(wanted.get("regionCode") or regions), None)
    if region is None:
        return
    names = wanted.get("instanceType") or cloud.catalog.names()
    for name in names:
        offer = cloud.offer(name)
        if offer is not None:
            product = _product(cloud, region, offer)
            attributes = product["product"]["attributes"]
            if all(field not in attributes or attributes[field] in values for field, values in wanted.items()):
                yield product


def _product(cloud: Cloud, region: str, offer: Offer) -> dict[str, Any]:
    sku = f"{int(share('sku', region, offer.name) * 2**63):016X}"
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    price = cloud.on_demand_price(region, offer.name)
    dimension = {
        "rateCode": rate,
        "unit": "Hrs",
        "description": f"${price:.4f} per On Demand Linux {offer.name} Instance Hour",
        "beginRange": "0",
        "endRange": "Inf",
        "appliesTo": [],
        "pricePerUnit": {"USD": f"{price:.10f}"},
    }
    return {
        "product": {"productFamily": "Compute Instance", "sku": sku, "attributes": _attributes(region, offer)},
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {term: {"sku": sku, "offerTermCode": "JRTCKXETXF", "priceDimensions": {rate: dimension}}}
        },
        "version": "20261101000000",
        "publicationDate": "2026-11-01T00:00:00Z",
    }


def _attributes(region: str, offer: Offer) -> dict[str, str]:
    return {
        "instanceType": offer.name,
        "regionCode": region,
        "location": _LOCATIONS.get(region, region),
        "vcpu": str(offer.vcpus),
        "memory": f"{offer.memory_gib:g} GiB",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "preInstalledSw": "NA",
        "licenseModel": "No License required",
        "marketoption": "OnDemand",
        "servicecode": "AmazonEC2",
    }
