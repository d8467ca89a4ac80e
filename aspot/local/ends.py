"""TerminateInstances and the other actions that change machines after their launch.

May import: cloud, lifecycle, records, refusal.
"""

from __future__ import annotations

from typing import Any

from aspot.local.cloud import Call
from aspot.local.lifecycle import BY_USER, Lifecycle
from aspot.local.records import Machine, State
from aspot.local.refusal import Refusal

__all__ = [
    "cancel_spot_instance_requests",
    "delete_fleets",
    "reboot_instances",
    "start_instances",
    "stop_instances",
    "terminate_instances",
]

_MOST_IDS = 1000


def _machines(call: Call) -> list[Machine]:
    """Return the machines that a request names.

    Raises:
        Refusal: one of them does not exist, or is not seen yet; then nothing happens to the others.
    """
    ids = call.parameters.get("InstanceIds") or ()
    if not ids:
        raise Refusal("MissingParameter", "The request must contain the parameter InstanceId")
    if len(ids) > _MOST_IDS:
        raise Refusal("InvalidParameterValue", f"At most {_MOST_IDS} instance ids are allowed.")
    found = [call.region.machine(name, now=call.cloud.now) for name in dict.fromkeys(ids)]
    call.permit()
    return found


async def terminate_instances(call: Call, life: Lifecycle) -> dict[str, Any]:
    """Answer TerminateInstances: all or nothing, and again is no harm."""
    machines = _machines(call)
    for machine in machines:
        if machine.state.is_live and call.region.moto.is_protected(machine.body):
            raise Refusal(
                "OperationNotPermitted",
                f"The instance '{machine.id}' may not be terminated. Modify its 'disableApiTermination' instance "
                "attribute and try again.",
            )
    call.cloud.throttle.resources(call.region.name, "TerminateInstances", len(machines), now=call.cloud.now)
    changes = []
    for machine in machines:
        before = machine.state
        life.end(machine, BY_USER)
        changes.append({"InstanceId": machine.id, "PreviousState": before.wire, "CurrentState": machine.state.wire})
    return {"TerminatingInstances": changes}


async def stop_instances(call: Call, _: Lifecycle) -> dict[str, Any]:
    """Answer StopInstances, which EC2 refuses for one-time spot requests, and we for all: disks are not kept."""
    for machine in _machines(call):
        if machine.launch.spot:
            raise Refusal(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{machine.id}' because it is associated with a one-time Spot "
                "Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.",
            )
    raise Refusal(
        "UnsupportedOperation", "The local cloud does not keep disks: instances can't be stopped, only terminated."
    )


async def start_instances(call: Call, _: Lifecycle) -> dict[str, Any]:
    """Answer StartInstances."""
    for machine in _machines(call):
        if machine.state is not State.STOPPED:
            raise _wrong_state(machine, "started")
    raise Refusal("UnsupportedOperation", "The local cloud does not keep disks: instances can't be started again.")


def _wrong_state(machine: Machine, wanted: str) -> Refusal:
    message = f"The instance '{machine.id}' is not in a state from which it can be {wanted}."
    return Refusal("IncorrectInstanceState", message)


async def reboot_instances(call: Call, life: Lifecycle) -> dict[str, Any]:
    """Answer RebootInstances."""
    for machine in _machines(call):
        if machine.state is not State.RUNNING:
            raise Refusal(
                "IncorrectInstanceState",
                f"The instance '{machine.id}' is not in a state from which it can be rebooted.",
            )
        await life.reboot(machine)
    return {}


async def cancel_spot_instance_requests(call: Call, _: Lifecycle) -> dict[str, Any]:
    """Answer CancelSpotInstanceRequests: the request ends, its machine runs on."""
    requests = []
    for name in call.parameters.get("SpotInstanceRequestIds") or ():
        found = call.region.requests.get(name)
        if found is None:
            raise Refusal(
                "InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{name}' does not exist"
            )
        requests.append(found)
    call.permit()
    for request in requests:
        if request.state == "active":
            request.mark("request-canceled-and-instance-running", now=call.cloud.clock, state="cancelled")
    return {
        "CancelledSpotInstanceRequests": [
            {"SpotInstanceRequestId": request.id, "State": request.state} for request in requests
        ]
    }


async def delete_fleets(call: Call, life: Lifecycle) -> dict[str, Any]:
    """Answer DeleteFleets: an instant fleet always takes its machines along."""
    ids = call.parameters.get("FleetIds") or ()
    if not call.parameters.get("TerminateInstances"):
        raise Refusal("NoTerminateInstancesNotSupported", "Instant fleets can't be deleted without their instances.")
    call.permit()
    deleted, failed = [], []
    for name in ids:
        fleet = call.region.fleets.get(name)
        if fleet is None:
            error = {"Code": "fleetIdDoesNotExist", "Message": f"The fleet ID '{name}' does not exist"}
            failed.append({"FleetId": name, "Error": error})
            continue
        before, fleet.state = fleet.state, "deleted_terminating"
        for machine in fleet.machines:
            life.end(machine, BY_USER)
        deleted.append({"FleetId": name, "PreviousFleetState": before, "CurrentFleetState": fleet.state})
    return {"SuccessfulFleetDeletions": deleted, "UnsuccessfulFleetDeletions": failed}
