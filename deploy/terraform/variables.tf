# The parameters of ../cloudformation/castoff.yaml, by the same names and with the
# same defaults (a test holds it). What is empty there is null here.

variable "name" {
  type        = string
  description = "Of the ECS service, its task definition and its directory on the file system. Another one only for a second castoff, which watches another account"
  default     = "castoff"
  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.name))
    error_message = "Must be 1 to 64 letters, digits, underscores and hyphens."
  }
}

variable "image" {
  type        = string
  description = "castoff's image, with a version. For instance 123456789012.dkr.ecr.eu-central-1.amazonaws.com/castoff:0.1.0"
}

variable "architecture" {
  type        = string
  description = "What the image is built for: X86_64 or ARM64"
  default     = "X86_64"
  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "Must be X86_64 or ARM64."
  }
}

variable "size" {
  type        = string
  description = "Of the task, in CPU units and MiB: small 256 and 512, enough for 10,000 tasks to watch; medium 512 and 1024; large 1024 and 2048. Measured in deploy/README.md"
  default     = "small"
  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "Must be small, medium or large."
  }
}

variable "cluster" {
  type        = string
  description = "Name of the ECS cluster that castoff runs in. Which clusters it watches is in its configuration; all of the region by default"
}

variable "vpc_id" {
  type        = string
  description = "VPC that castoff runs in"
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets from which AWS's endpoints can be reached, by NAT, by VPC endpoints, or with assign_public_ip"
}

variable "assign_public_ip" {
  type        = string
  description = "ENABLED in public subnets without NAT"
  default     = "DISABLED"
  validation {
    condition     = contains(["DISABLED", "ENABLED"], var.assign_public_ip)
    error_message = "Must be DISABLED or ENABLED."
  }
}

variable "rights" {
  type        = string
  description = "observe can only read. detach can also take targets out of target groups tagged castoff:managed = true, and put them back. Whether it does is in the configuration"
  default     = "observe"
  validation {
    condition     = contains(["observe", "detach"], var.rights)
    error_message = "Must be observe or detach."
  }
}

variable "config" {
  type        = string
  description = "castoff's configuration, in YAML. null means defaults. Not together with config_parameter"
  default     = null
}

variable "config_parameter" {
  type        = string
  description = "Name of an SSM parameter of this region that has the configuration, for instance /castoff/config. Read when castoff starts. Not together with config"
  default     = null
  validation {
    condition     = var.config_parameter == null ? true : startswith(var.config_parameter, "/")
    error_message = "Must begin with a slash."
  }
}

variable "notify_url_parameter" {
  type        = string
  description = "Name of an SSM parameter (SecureString) of this region that has the URL of a receiver of notifications. castoff has it as CASTOFF_NOTIFY_URL, for url_env. null means none"
  default     = null
  validation {
    condition     = var.notify_url_parameter == null ? true : startswith(var.notify_url_parameter, "/")
    error_message = "Must begin with a slash."
  }
}

variable "notify_signing_parameter" {
  type        = string
  description = "The same of the secret that signs what is sent to it, or of a header. castoff has it as CASTOFF_NOTIFY_SECRET, for secret_env or value_env"
  default     = null
  validation {
    condition     = var.notify_signing_parameter == null ? true : startswith(var.notify_signing_parameter, "/")
    error_message = "Must begin with a slash."
  }
}

variable "assume_role_arn" {
  type        = string
  description = "Role of another account that castoff watches; the configuration names it too (aws.assume_role.arn). null means this account"
  default     = null
}

variable "state_file_system_id" {
  type        = string
  description = "EFS file system for castoff's state, with a mount target in each of the subnets. null means that state is lost with the task, so that a new one does not know what the old one took out; a configuration with mode detach is refused then, unless it says state none"
  default     = null
}

variable "log_retention_days" {
  type        = number
  description = "How long logs are kept"
  default     = 30
}

variable "scrape_security_group_id" {
  type        = string
  description = "Security group of what may read port 9468, such as Prometheus. null means nobody"
  default     = null
}

variable "namespace_id" {
  type        = string
  description = "Cloud Map namespace for private DNS in which castoff gets a name, for Prometheus. null means no name"
  default     = null
}

variable "discovery_name" {
  type        = string
  description = "That name"
  default     = "castoff"
}
