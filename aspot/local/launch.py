"""Launching: which pool has room, who has seen this token before, and the machines that come of it.

May import: cloud, wishes, lifecycle, records, refusal.
"""

from __future__ import annotations

from typing import Any

from aspot.local.catalog import quota_class
from aspot.local.cloud import Call, Cloud, Region, new_id
from aspot.local.lifecycle import Lifecycle
from aspot.local.moto_seams import ACCOUNT
from aspot.local.prices import share
from aspot.local.records import Launch, Machine, Pool, SpotRequest, State, Subnet
from aspot.local.refusal import Refusal, token_mismatch
from aspot.local.seam import Endpoint, Metadata
from aspot.local.views import reservation_view
from aspot.local.wishes import Wish, merged_with_template, read_wish

__all__ = ["check_pool", "create", "over_quota", "room_in_pool", "room_in_quota", "run_instances"]

_MANY = 10**9


async def run_instances(call: Call, life: Lifecycle) -> dict[str, Any]:
    """Answer RunInstances."""
    cloud, region = call.cloud, call.region
    wish = await cloud.moto.call(_read, cloud, region, call.parameters)
    low, high = _counts(call.parameters)
    call.permit()
    async with cloud.launching:
        key, seen = _earlier(call)
        if seen is not None:
            return seen
        cloud.throttle.resources(region.name, "RunInstances", high, now=cloud.now)
        launch, count = await _choose(call, wish, low=low, high=high)
        machines = await create(cloud, region, life, launch, count)
    region.tokens[key] = (_comparable(call.parameters), machines)
    return reservation_view(cloud, machines)


def _read(cloud: Cloud, region: Region, parameters: dict[str, Any]) -> Wish:
    merged = merged_with_template(region.moto, parameters)
    return read_wish(region.moto, cloud.catalog, merged)


def _counts(parameters: dict[str, Any]) -> tuple[int, int]:
    for name in ("MinCount", "MaxCount"):
        if parameters.get(name) is None:
            raise Refusal("MissingParameter", f"The request must contain the parameter {name}")
    low, high = parameters["MinCount"], parameters["MaxCount"]
    if low < 1 or high < low:
        raise Refusal("InvalidParameterValue", f"Value ({low}) for parameter minCount is invalid.")
    if high > 3_000:  # EC2 errors overview: RequestResourceCountExceeded above 3,000 spot instances
        raise Refusal("RequestResourceCountExceeded", "You can launch at most 3,000 instances in a request.")
    return low, high


def _comparable(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in ("ClientToken", "DryRun")}


def _earlier(call: Call) -> tuple[tuple[str, ...], dict[str, Any] | None]:
    """Return the key under which this request is remembered, and the answer if it was made before.

    The token counts per zone where the request names one (AWS.md 1.5).
    """
    parameters = call.parameters
    token = parameters.get("ClientToken") or new_id("token")
    place = parameters.get("SubnetId") or (parameters.get("Placement") or {}).get("AvailabilityZone") or ""
    key = (call.action, token, place)
    seen = call.region.tokens.get(key)
    if seen is None:
        return key, None
    before, machines = seen
    if before != _comparable(parameters):
        raise token_mismatch(token)
    if all(machine.state is State.TERMINATED for machine in machines):
        raise Refusal(
            "IdempotentInstanceTerminated", "The instance launched with this client token has been terminated."
        )
    return key, reservation_view(call.cloud, machines)


async def _choose(call: Call, wish: Wish, *, low: int, high: int) -> tuple[Launch, int]:
    """Pick the subnet with most room and say how many machines it gets.

    Raises:
        Refusal: no allowed pool has room for `low` machines.
    """
    cloud, region = call.cloud, call.region
    subnets = [s for s in wish.subnets if len(wish.subnets) == 1 or region.offers(Pool(wish.type, s.zone))]
    if not subnets:
        raise Refusal("Unsupported", f"The requested configuration is currently not supported: {wish.type}.")
    quota_room = room_in_quota(cloud, region, wish.type, spot=wish.spot)
    if quota_room < low:
        raise over_quota(spot=wish.spot)
    failure = None
    for subnet in sorted(subnets, key=lambda s: -cloud.prices.depth(Pool(wish.type, s.zone))):
        try:
            room = check_pool(cloud, region, wish, subnet)
        except Refusal as refused:
            failure = failure or refused
            continue
        if room >= low:
            launch = await cloud.moto.call(_launch, region, wish, subnet, call.parameters.get("ClientToken") or "")
            return launch, min(high, room, quota_room)
        failure = failure or _no_capacity(Pool(wish.type, subnet.zone))
    raise failure or _no_capacity(Pool(wish.type, subnets[0].zone))


def _launch(region: Region, wish: Wish, subnet: Subnet, token: str) -> Launch:
    return wish.launch(region.moto, subnet, token=token)


def check_pool(cloud: Cloud, region: Region, wish: Wish, subnet: Subnet) -> int:
    """Return how many machines a pool has room for.

    Raises:
        Refusal: the zone does not offer the type, the price is too low, or a fault refuses the pool.
    """
    pool = Pool(wish.type, subnet.zone)
    if not region.offers(pool):
        raise Refusal(
            "Unsupported",
            f"Your requested instance type ({pool.type}) is not supported in your requested Availability Zone "
            f"({pool.zone}). Please retry your request by not specifying an Availability Zone or choosing another.",
        )
    code = cloud.faults.refusal_of(pool, now=cloud.now)
    if code is not None:
        raise _refusal(code, pool)
    if wish.spot and wish.max_price is not None:
        _check_price(cloud, region, wish.max_price, pool)
    return room_in_pool(cloud, region, pool)


def _check_price(cloud: Cloud, region: Region, max_price: float, pool: Pool) -> None:
    price = cloud.spot_price(region.name, pool)
    if max_price < price:
        raise Refusal(
            "SpotMaxPriceTooLow",
            f"Your Spot request price of {max_price} is lower than the minimum required Spot request fulfillment price "
            f"of {price}.",
        )


def _refusal(code: str, pool: Pool) -> Refusal:
    if code == "InsufficientInstanceCapacity":
        return _no_capacity(pool)
    if code == "MaxSpotInstanceCountExceeded":
        return over_quota(spot=True)
    return Refusal(code, f"{code}: {pool.type} in {pool.zone}.")


def _no_capacity(pool: Pool) -> Refusal:
    return Refusal(
        "InsufficientInstanceCapacity",
        f"We currently do not have sufficient {pool.type} capacity in the Availability Zone you requested "
        f"({pool.zone}). Our system will be working on provisioning additional capacity.",
    )


def over_quota(*, spot: bool) -> Refusal:
    """Return the refusal of a launch that would break a vCPU quota."""
    if spot:
        return Refusal("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    return Refusal(
        "VcpuLimitExceeded",
        "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket that the "
        "specified instance type belongs to.",
    )


def room_in_pool(cloud: Cloud, region: Region, pool: Pool) -> int:
    """Return how many more machines a pool can hold."""
    capacity = cloud.faults.capacity_of(pool, now=cloud.now)
    return _MANY if capacity is None else max(0, capacity - region.machines_in(pool))


def room_in_quota(cloud: Cloud, region: Region, instance_type: str, *, spot: bool) -> int:
    """Return how many more machines of a type the account's vCPU quota allows."""
    kind = quota_class(instance_type)
    limit = cloud.quota(kind.spot_code if spot else kind.on_demand_code)
    offer = cloud.offer(instance_type)
    vcpus = offer.vcpus if offer is not None else 1
    return max(0, int(limit - region.vcpus_used(kind, cloud.catalog, spot=spot)) // vcpus)


async def create(cloud: Cloud, region: Region, life: Lifecycle, launch: Launch, count: int) -> list[Machine]:
    """Make machines and let them boot.

    Raises:
        Refusal: there are not enough addresses.
    """
    endpoints = _reserve(cloud, count)
    reservation, bodies = await cloud.moto.call(region.moto.launch, launch, count)
    machines = [
        _machine(cloud, region, launch, reservation, index, *pair)
        for index, pair in enumerate(zip(bodies, endpoints, strict=True))
    ]
    await cloud.moto.call(_register, region, machines)
    for machine in machines:
        region.machines[machine.id] = machine
        if launch.spot:
            _request(cloud, region, machine)
        life.start(machine)
    cloud.changed.set()
    return machines


def _reserve(cloud: Cloud, count: int) -> list[Endpoint]:
    endpoints: list[Endpoint] = []
    try:
        while len(endpoints) < count:
            endpoints.append(cloud.machines.reserve())
    except OSError as error:
        for endpoint in endpoints:
            cloud.machines.release(endpoint)
        raise Refusal("InsufficientFreeAddressesInSubnet", f"There are not enough free addresses: {error}.") from error
    return endpoints


def _machine(
    cloud: Cloud, region: Region, launch: Launch, reservation: str, index: int, body: Any, endpoint: Endpoint
) -> Machine:
    cloud.launched += 1
    low, high = cloud.options.boot_s
    metadata = Metadata(
        instance_id=body.id,
        instance_type=launch.type,
        zone=launch.subnet.zone,
        region=region.name,
        image_id=launch.image.id,
        account_id=ACCOUNT,
        address=endpoint.address,
        lifecycle="spot" if launch.spot else "on-demand",
        role=launch.role,
    )
    return Machine(
        id=body.id,
        region=region.name,
        reservation=reservation,
        launch=launch,
        body=body,
        index=index,
        ordinal=cloud.launched,
        launched=cloud.clock,
        visible_at=cloud.now + cloud.faults.lag_s(now=cloud.now),
        boot_delay_s=low + (high - low) * share(cloud.options.seed, "boot", cloud.launched),
        endpoint=endpoint,
        metadata=metadata,
        boots=cloud.faults.boots(now=cloud.now),
        ssh_delay_s=cloud.faults.ssh_delay_s(now=cloud.now),
        runs_user_data=cloud.faults.runs_user_data(now=cloud.now),
        login_shell=cloud.faults.login_shell(now=cloud.now),
    )


def _register(region: Region, machines: list[Machine]) -> None:
    """Put addresses and the local cloud's own tags on the machines; on moto's thread."""
    for machine in machines:
        region.moto.address(machine.body, private=machine.endpoint.address)
        tags = {"aspot-local:ssh-port": str(machine.endpoint.port)} if machine.endpoint.port != 22 else {}
        if machine.launch.fleet_id:
            tags["aws:ec2:fleet-id"] = machine.launch.fleet_id
        region.moto.tag([machine.id], tags)


def _request(cloud: Cloud, region: Region, machine: Machine) -> None:
    launch = machine.launch
    price = launch.max_price if launch.max_price is not None else cloud.on_demand_price(region.name, launch.type)
    request = SpotRequest(
        id=new_id("sir")[:12],
        machine=machine,
        created=cloud.clock,
        updated=cloud.clock,
        price=f"{price:.6f}",
    )
    machine.request = request
    region.requests[request.id] = request
    region.moto.tag([request.id], launch.tags.get("spot-instances-request", {}))
