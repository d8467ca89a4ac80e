"""How often spot instances of a type were interrupted: the file behind AWS's Spot Instance Advisor.

AWS publishes the file for that page and documents no format; it may change or vanish, and then nothing is said.
"""

from __future__ import annotations

import json
import os

from aspot.aws.clients import Aws
from aspot.errors import CloudError

URL_VARIABLE = "ASPOT_SPOT_ADVISOR_URL"
"""Another place of the file; set but empty, it is not asked for."""
URL = "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json"
LOCAL_PATH = "/spot-advisor-data.json"
ASK_S = 20.0


def url_of(aws: Aws) -> str:
    """Return where the file is; "" if it is not to be asked for. At the local cloud, it is that cloud's own."""
    given = os.environ.get(URL_VARIABLE)
    if given is not None:
        return given
    return aws.endpoint.rstrip("/") + LOCAL_PATH if aws.is_loopback else URL


async def bands(url: str, region: str) -> dict[str, str]:
    """Return the band of every type of a region.

    Raises:
        CloudError: If the file cannot be had, or looks other than it used to.
    """
    import aiohttp

    try:
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session, session.get(url) as answer:
            answer.raise_for_status()
            found = json.loads(await answer.text())
        labels = {item["index"]: str(item["label"]) for item in found["ranges"]}
        of_region = found["spot_advisor"].get(region, {}).get("Linux", {})
        return {name: labels[item["r"]] for name, item in of_region.items()}
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise CloudError(f"{url} cannot be had: {str(error) or 'no answer in time'}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CloudError(f"{url} no longer looks as it did") from error
