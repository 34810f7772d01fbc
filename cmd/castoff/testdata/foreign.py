"""What boto3 makes of castoff region: every waiter that a deployment uses, each after
the change that it waits for. Argument: the endpoint. It polls once a second: the region
runs sixty times faster than the clock."""
import json
import sys

import boto3

endpoint = sys.argv[1]
ecs = boto3.client("ecs", endpoint_url=endpoint)
elb = boto3.client("elbv2", endpoint_url=endpoint)
ec2 = boto3.client("ec2", endpoint_url=endpoint)
sts = boto3.client("sts", endpoint_url=endpoint)


def wait(client, name, **what):
    client.get_waiter(name).wait(WaiterConfig={"Delay": 1, "MaxAttempts": 60}, **what)


cluster, service = "demo", "grpc"
ecs.update_service(cluster=cluster, service=service, desiredCount=4)
wait(ecs, "services_stable", cluster=cluster, services=[service])
described = ecs.describe_services(cluster=cluster, services=[service])["services"][0]
group = described["loadBalancers"][0]["targetGroupArn"]
tasks = ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"]
wait(ecs, "tasks_running", cluster=cluster, tasks=tasks)
wait(elb, "target_in_service", TargetGroupArn=group)
wait(elb, "load_balancer_available", Names=[service])

spare = [{"Id": "10.0.250.1", "Port": 10080}]
elb.register_targets(TargetGroupArn=group, Targets=spare)
elb.deregister_targets(TargetGroupArn=group, Targets=spare)
wait(elb, "target_deregistered", TargetGroupArn=group, Targets=spare)

ecs.update_service(cluster=cluster, service=service, taskDefinition="grpc:1", forceNewDeployment=True)
wait(ecs, "services_stable", cluster=cluster, services=[service])
fresh = ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"]
job = ecs.run_task(
    cluster=cluster,
    taskDefinition="worker",
    networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-00000000000000000"]}},
)["tasks"][0]["taskArn"]
wait(ecs, "tasks_running", cluster=cluster, tasks=[job])
ecs.stop_task(cluster=cluster, task=job)
wait(ecs, "tasks_stopped", cluster=cluster, tasks=[job])

pages = ec2.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": 5})
addresses = [i["PrivateIpAddress"] for page in pages for i in page["NetworkInterfaces"]]
events = ecs.describe_services(cluster=cluster, services=[service])["services"][0]["events"]
print(
    json.dumps(
        {
            "boto3": boto3.__version__,
            "account": sts.get_caller_identity()["Account"],
            "tasks": len(tasks),
            "kept": len(set(tasks) & set(fresh)),
            "addresses": len(set(addresses)),
            "newest": events[0]["message"],
        }
    )
)
