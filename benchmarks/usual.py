"""The usual way: boto3 to launch and wait, paramiko to upload, run and download. What people write by hand."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import boto3
import paramiko

USER = "ec2-user"


class Usual:
    """Shared pieces of the threaded and the sequential way."""

    def __init__(self, job_s: float, folder: str) -> None:
        self.ec2 = boto3.client("ec2")
        self.script = f"#!/bin/sh\nmkdir -p out\nsleep {job_s}\necho done > out/done\n"
        self.folder = Path(folder)
        self.key = paramiko.RSAKey.generate(2048)
        self.image = self._image()
        self.group = self._make_ready()
        self.lock = threading.Lock()

    def _image(self) -> str:
        name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
        return str(boto3.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])

    def _make_ready(self) -> str:
        line = f"{self.key.get_name()} {self.key.get_base64()}"
        self.ec2.import_key_pair(KeyName="usual", PublicKeyMaterial=line.encode())
        group = self.ec2.create_security_group(GroupName="usual", Description="usual")["GroupId"]
        self.ec2.authorize_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.1/32"
        )
        return str(group)

    def launch(self, count: int) -> list[str]:
        """Launch spot instances in one call; return their ids."""
        answer = self.ec2.run_instances(
            ImageId=self.image,
            InstanceType="c7i.large",
            MinCount=count,
            MaxCount=count,
            KeyName="usual",
            SecurityGroupIds=[self.group],
            InstanceMarketOptions={"MarketType": "spot"},
        )
        return [item["InstanceId"] for item in answer["Instances"]]

    def wait_running(self, instances: list[str]) -> dict[str, tuple[str, int]]:
        """Wait until all run, asking every 2 seconds (the waiter's 15 s would be slower); return addresses."""
        while True:
            found = self._describe(instances)
            if len(found) == len(instances):
                return found
            time.sleep(2)

    def _describe(self, instances: list[str]) -> dict[str, tuple[str, int]]:
        pages = self.ec2.get_paginator("describe_instances").paginate(InstanceIds=instances)
        items = [item for page in pages for group in page["Reservations"] for item in group["Instances"]]
        up = [item for item in items if item["State"]["Name"] == "running" and item.get("PublicIpAddress")]
        return {item["InstanceId"]: _endpoint(item) for item in up}

    def run(self, instance: str, address: str, port: int) -> None:
        """Upload the script, run it, bring its output home."""
        client = self._connect(address, port)
        try:
            with client.open_sftp() as sftp:
                with sftp.open("job.sh", "w") as file:
                    file.write(self.script)
                _, stdout, _ = client.exec_command("sh job.sh")
                stdout.read()
                if stdout.channel.recv_exit_status() != 0:
                    raise RuntimeError(f"{instance}: job failed")
                sftp.get("out/done", str(self.folder / instance))
        finally:
            client.close()

    def _connect(self, address: str, port: int) -> paramiko.SSHClient:
        while True:
            client = paramiko.SSHClient()
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            try:
                client.connect(address, port, USER, pkey=self.key, look_for_keys=False, allow_agent=False, timeout=10)
            except (OSError, paramiko.SSHException, EOFError):
                client.close()
                time.sleep(1)
            else:
                return client

    def end(self, instances: list[str]) -> None:
        """Terminate, wait for it, delete group and key."""
        self.ec2.terminate_instances(InstanceIds=instances)

    def clean(self) -> None:
        """Delete group and key, as soon as EC2 lets us."""
        self.ec2.delete_key_pair(KeyName="usual")
        while True:
            try:
                self.ec2.delete_security_group(GroupId=self.group)
            except self.ec2.exceptions.ClientError:
                time.sleep(1)
            else:
                return


def warm_up(folder: str) -> None:
    """Do it all once with one instance, so that imports and first use are not what is measured."""
    usual = Usual(0, folder)
    instances = usual.launch(1)
    for instance, endpoint in usual.wait_running(instances).items():
        usual.run(instance, *endpoint)
    usual.end(instances)
    usual.clean()


def _endpoint(item: dict[str, Any]) -> tuple[str, int]:
    tags = {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])}
    return item["PublicIpAddress"], int(tags.get("aspot-local:ssh-port", 22))
