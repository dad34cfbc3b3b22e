"""Registers, creates, scales and updates as ECS's API wants it, against moto; prints what came of it as JSON.

Run by the Python of the tool `moto_server`, with the files of task definitions. boto3 refuses what the API does not
know before anything is sent; moto gives answers of the right shape and decides nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws

REGION = "eu-west-1"


def register(ecs: Any, file: str) -> str:
    """Register a definition; its name and revision."""
    found = ecs.register_task_definition(**json.loads(Path(file).read_text()))["taskDefinition"]
    return f"{found['family']}:{found['revision']}"


@mock_aws
def main() -> None:
    """A release of each file."""
    ecs = boto3.client("ecs", region_name=REGION)
    ec2 = boto3.client("ec2", region_name=REGION)
    network = {
        "subnets": [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]],
        "securityGroups": [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"][:1]],
    }
    ecs.create_cluster(clusterName="multimodal-sentiment")
    said: dict[str, Any] = {"registered": [register(ecs, file) for file in sys.argv[1:]]}
    ecs.create_service(
        cluster="multimodal-sentiment",
        serviceName="service",
        taskDefinition=said["registered"][0],
        desiredCount=3,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )
    scaling = boto3.client("application-autoscaling", region_name=REGION)
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/multimodal-sentiment/service",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=3, MaxCapacity=20)
    said["targets"] = len(scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"])
    said["next"] = register(ecs, sys.argv[1])
    for turn in (said["next"], said["registered"][0]):  # forward, and back
        updated = ecs.update_service(cluster="multimodal-sentiment", service="service", taskDefinition=turn)
        said["runs"] = updated["service"]["taskDefinition"].rpartition("/")[2]
    print(json.dumps(said))


if __name__ == "__main__":
    main()
