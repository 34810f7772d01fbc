# What castoff itself may do: deploy/iam, word for word but for the partition.

data "aws_iam_policy_document" "assumed_by_tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["${local.arn}:ecs:${local.region}:${local.account}:*"]
    }
  }
}

resource "aws_iam_role" "task" {
  name_prefix        = "castoff-"
  description        = "castoff's own rights"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_tasks.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "observe" {
  name   = "observe"
  role   = aws_iam_role.task.id
  policy = replace(file("${path.module}/../iam/observe.json"), "arn:aws:", "${local.arn}:")
}

resource "aws_iam_role_policy" "detach" {
  count  = var.rights == "detach" ? 1 : 0
  name   = "detach"
  role   = aws_iam_role.task.id
  policy = replace(file("${path.module}/../iam/detach.json"), "arn:aws:", "${local.arn}:")
}

resource "aws_iam_role_policy" "other_account" {
  count = var.assume_role_arn == null ? 0 : 1
  name  = "other-account"
  role  = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ActAsTheOtherAccountsRole"
      Effect   = "Allow"
      Action   = "sts:AssumeRole"
      Resource = var.assume_role_arn
    }]
  })
}

resource "aws_iam_role_policy" "state" {
  count = var.state_file_system_id == null ? 0 : 1
  name  = "state"
  role  = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "KeepState"
      Effect    = "Allow"
      Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
      Resource  = "${local.arn}:elasticfilesystem:${local.region}:${local.account}:file-system/${var.state_file_system_id}"
      Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.state[0].arn } }
    }]
  })
}

# What ECS may do to start castoff: fetch the image, write the log, read the
# configuration.

resource "aws_iam_role" "execution" {
  name_prefix        = "castoff-execution-"
  description        = "What ECS needs to start castoff"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_tasks.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "start" {
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "LogInToTheRegistry"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Sid      = "FetchTheImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "${local.arn}:ecr:*:*:repository/*"
      },
      {
        Sid      = "WriteTheLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.castoff.arn}:*"
      },
    ]
  })
}

# A SecureString under a key of your own needs kms:Decrypt on that key as well.
resource "aws_iam_role_policy" "configuration" {
  count = length(local.parameters) == 0 ? 0 : 1
  name  = "configuration"
  role  = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ReadTheConfiguration"
      Effect   = "Allow"
      Action   = "ssm:GetParameters"
      Resource = values(local.parameters)
    }]
  })
}
