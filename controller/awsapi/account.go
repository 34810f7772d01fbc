package awsapi

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// NoClustersError says that castoff may look and finds no ECS cluster in the
// region. That is no mistake by itself, for there may be one tomorrow; more
// often it is the wrong region or account.
type NoClustersError struct {
	Region  string
	Account string // empty when AWS does not say
}

func (e *NoClustersError) Error() string {
	account := ""
	if e.Account != "" {
		account = " of account " + e.Account
	}
	return fmt.Sprintf("no ECS cluster in %s%s", e.Region, account)
}

// accountTimeout bounds a question that is asked only to make a line clearer.
const accountTimeout = 3 * time.Second

// account is the account that the credentials belong to; empty when it cannot
// be had. The call needs no permission, but STS may be out of reach.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (o *Observer) account(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	out, err := sts.NewFromConfig(o.opts.Config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return ""
	}
	return value(out.Account)
}
