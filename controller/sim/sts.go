package sim

import "time"

// sts answers the two STS operations that a client needs to assume a role and
// to ask who it is.
func (r *Region) sts(c *call) reply {
	role := c.form.Get("RoleArn")
	switch c.operation {
	case "GetCallerIdentity":
		return queryReply(c, stsNamespace, struct {
			Arn     string
			UserID  string `xml:"UserId"`
			Account string
		}{"arn:aws:sts::" + AccountID + ":assumed-role/castoff/castoff", "AROASIMULATED:castoff", AccountID})
	case "AssumeRole":
		session := c.form.Get("RoleSessionName")
		if role == "" || session == "" {
			return queryError(c, invalid("ValidationError", "roleArn and roleSessionName must not be null"))
		}
		type credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      string
		}
		type user struct {
			ID  string `xml:"AssumedRoleId"`
			Arn string
		}
		return queryReply(c, stsNamespace, struct {
			AssumedRoleUser user
			Credentials     credentials
		}{
			user{"AROASIMULATED:" + session, "arn:aws:sts::" + AccountID + ":assumed-role/" + lastSegment(role) + "/" + session},
			// Expiry is real time: the client's clock judges it.
			credentials{"ASIASIMULATED", "simulated", "simulated", r.wall().Add(time.Hour).Format(time.RFC3339)},
		})
	}
	return queryError(c, invalid("InvalidAction", "Could not find operation %s for version 2011-06-15", c.operation))
}
