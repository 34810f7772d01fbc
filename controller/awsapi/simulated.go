package awsapi

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	static "github.com/aws/aws-sdk-go-v2/credentials"
)

// Simulated is the SDK configuration for a simulated region at an endpoint such
// as http://127.0.0.1:4566. It takes nothing from the environment, so that no
// profile, proxy or real credential gets into it.
func Simulated(endpoint, region string) aws.Config {
	return aws.Config{
		Region:       region,
		BaseEndpoint: aws.String(endpoint),
		HTTPClient:   awshttp.NewBuildableClient(),
		Credentials:  static.NewStaticCredentialsProvider("simulated", "simulated", ""),
	}
}
