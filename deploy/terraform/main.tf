# castoff as a Fargate service of one task: what ../cloudformation/castoff.yaml is,
# for those who use Terraform. Why each setting is what it is stands there.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  region  = data.aws_region.current.name
  arn     = "arn:${data.aws_partition.current.partition}"
  tags    = { app = "castoff" }
  size = {
    small  = { cpu = 256, memory = 512 }
    medium = { cpu = 512, memory = 1024 }
    large  = { cpu = 1024, memory = 2048 }
  }[var.size]
  # What castoff has from SSM, by the variable of its environment.
  parameters = {
    for name, parameter in {
      CASTOFF_CONFIG        = var.config_parameter
      CASTOFF_NOTIFY_URL    = var.notify_url_parameter
      CASTOFF_NOTIFY_SECRET = var.notify_signing_parameter
    } : name => "${local.arn}:ssm:${local.region}:${local.account}:parameter${parameter}" if parameter != null
  }
}

resource "aws_cloudwatch_log_group" "castoff" {
  name_prefix       = "castoff-"
  retention_in_days = var.log_retention_days
  skip_destroy      = true # what was decided, and why, is worth having after castoff is gone
  tags              = local.tags
}

resource "aws_security_group" "castoff" {
  name_prefix = "castoff-"
  description = "castoff"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "castoff" })

  egress {
    description      = "AWS APIs"
    protocol         = "tcp"
    from_port        = 443
    to_port          = 443
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }

  dynamic "egress" {
    for_each = var.state_file_system_id == null ? [] : [2049]
    content {
      description = "EFS"
      protocol    = "tcp"
      from_port   = egress.value
      to_port     = egress.value
      cidr_blocks = ["0.0.0.0/0"]
    }
  }

  dynamic "ingress" {
    for_each = var.scrape_security_group_id == null ? [] : [var.scrape_security_group_id]
    content {
      description     = "metrics, page and API"
      protocol        = "tcp"
      from_port       = 9468
      to_port         = 9468
      security_groups = [ingress.value]
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

# A directory of its own, as the user of the image.
resource "aws_efs_access_point" "state" {
  count          = var.state_file_system_id == null ? 0 : 1
  file_system_id = var.state_file_system_id
  tags           = merge(local.tags, { Name = "castoff" })

  posix_user {
    uid = 65532
    gid = 65532
  }
  root_directory {
    path = "/${var.name}"
    creation_info {
      owner_uid   = 65532
      owner_gid   = 65532
      permissions = "0700"
    }
  }
}

resource "aws_service_discovery_service" "castoff" {
  count       = var.namespace_id == null ? 0 : 1
  name        = var.discovery_name
  description = "castoff, for Prometheus"
  tags        = local.tags

  dns_config {
    namespace_id   = var.namespace_id
    routing_policy = "MULTIVALUE"
    dns_records {
      type = "A"
      ttl  = 10
    }
  }
  health_check_custom_config {
    failure_threshold = 1
  }
}

resource "aws_ecs_task_definition" "castoff" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.size.cpu
  memory                   = local.size.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  skip_destroy             = true # for the circuit breaker: no service can be updated to a revision that is not active
  tags                     = local.tags

  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }

  volume {
    name = "state"
    dynamic "efs_volume_configuration" {
      for_each = aws_efs_access_point.state
      content {
        file_system_id     = var.state_file_system_id
        transit_encryption = "ENABLED"
        authorization_config {
          access_point_id = efs_volume_configuration.value.id
          iam             = "ENABLED"
        }
      }
    }
  }

  container_definitions = jsonencode([{
    name                   = "castoff"
    image                  = var.image
    essential              = true
    command                = var.state_file_system_id == null ? ["run"] : ["run", "--state", "/state"] # without a file system what is in /state ends with the task
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    portMappings           = [{ name = "metrics", containerPort = 9468, protocol = "tcp" }]
    mountPoints            = [{ sourceVolume = "state", containerPath = "/state", readOnly = false }]
    environment = concat(
      # Go collects garbage more often as it gets near three quarters of the memory, rather than be killed.
      [{ name = "GOMEMLIMIT", value = "${local.size.memory * 3 / 4}MiB" }],
      var.config == null ? [] : [{ name = "CASTOFF_CONFIG", value = var.config }],
    )
    secrets = [for name, arn in local.parameters : { name = name, valueFrom = arn }]
    healthCheck = {
      command     = ["CMD", "/castoff", "healthcheck"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    stopTimeout = 30
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.castoff.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "castoff"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }])

  lifecycle {
    precondition {
      condition     = var.config == null || var.config_parameter == null
      error_message = "Give config or config_parameter, not both."
    }
  }
}

resource "aws_ecs_service" "castoff" {
  name                    = var.name
  cluster                 = var.cluster
  launch_type             = "FARGATE"
  platform_version        = "LATEST"
  task_definition         = aws_ecs_task_definition.castoff.arn
  desired_count           = 1
  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"
  tags                    = local.tags

  # One castoff that acts, never two.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  availability_zone_rebalancing      = "DISABLED"
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    assign_public_ip = var.assign_public_ip == "ENABLED"
    security_groups  = [aws_security_group.castoff.id]
    subnets          = var.subnet_ids
  }

  dynamic "service_registries" {
    for_each = aws_service_discovery_service.castoff
    content {
      registry_arn = service_registries.value.arn
    }
  }

  # Without its rights the task would not start, or end at once, and the circuit
  # breaker would roll back.
  depends_on = [
    aws_iam_role_policy.observe, aws_iam_role_policy.detach, aws_iam_role_policy.other_account, aws_iam_role_policy.state,
    aws_iam_role_policy.start, aws_iam_role_policy.configuration,
  ]
}
