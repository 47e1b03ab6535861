"""What runs on a person's or CI's machine beside Custodian, and never in a Lambda function."""
