"""The file behind the Spot Instance Advisor's page, as AWS publishes it, out of this cloud's own dice.

May import: cloud, records, aiohttp.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from aspot.local.cloud import Cloud, Region
from aspot.local.records import Pool

__all__ = ["PATH", "Advisor"]

PATH = "/spot-advisor-data.json"
_BANDS = (
    {"index": 0, "label": "<5%", "dots": 0, "max": 5},
    {"index": 1, "label": "5-10%", "dots": 1, "max": 11},
    {"index": 2, "label": "10-15%", "dots": 2, "max": 16},
    {"index": 3, "label": "15-20%", "dots": 3, "max": 22},
    {"index": 4, "label": ">20%", "dots": 4, "max": 100},
)


class Advisor:
    """Answers with the file.

    Args:
        cloud: The cloud.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, _: web.Request) -> web.Response:
        """Answer one request: for the Regions used so far, all types that are sold as spot."""
        found = {name: {"Linux": self._types(region)} for name, region in self._cloud.regions.items()}
        return web.json_response({"ranges": _BANDS, "spot_advisor": found})

    def _types(self, region: Region) -> dict[str, Any]:
        offers = ((name, self._cloud.offer(name)) for name in sorted(region.offered))
        return {name: self._type(region, name) for name, offer in offers if offer is not None and offer.spot}

    def _type(self, region: Region, name: str) -> dict[str, int]:
        """Return `s`, the saving in percent, and `r`: a deep pool (see PriceBook.depth) is seldom interrupted."""
        pools = [Pool(name, zone) for zone in region.offered[name]]
        depth = sum(self._cloud.prices.depth(pool) for pool in pools) / len(pools)
        on_demand = self._cloud.on_demand_price(region.name, name)
        spot = sum(self._cloud.spot_price(region.name, pool) for pool in pools) / len(pools)
        return {"s": round(100 * (1 - spot / on_demand)), "r": min(4, int((10 - depth) / 2))}
