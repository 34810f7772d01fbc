output "service_name" {
  description = "ECS service"
  value       = aws_ecs_service.castoff.name
}

output "log_group_name" {
  description = "Where castoff's log goes"
  value       = aws_cloudwatch_log_group.castoff.name
}

output "security_group_id" {
  description = "castoff's security group; an EFS file system for its state must let it in on port 2049"
  value       = aws_security_group.castoff.id
}

output "task_role_arn" {
  description = "Role that castoff runs with; another account's role must trust it"
  value       = aws_iam_role.task.arn
}
