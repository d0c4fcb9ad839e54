# What the components make at the least, by OpenTofu: a vault with a secret and a key, a cluster, and an identity that a
# service account of the cluster is, and that may read the vault's secrets.
terraform {
  required_providers {
    azapi = { source = "Azure/azapi" }
  }
}

provider "azapi" {}

variable "name" { type = string } # of the vault too: 3 to 24 letters, digits and dashes

variable "team" {
  type    = string
  default = "judges"
}

data "azapi_client_config" "current" {}

locals {
  location     = "westeurope"
  subscription = "/subscriptions/${data.azapi_client_config.current.subscription_id}"
  secrets_user = "4633458b-17de-408a-b874-0445c86b69e6"
}

resource "azapi_resource" "group" {
  type      = "Microsoft.Resources/resourceGroups@2022-09-01"
  name      = var.name
  parent_id = local.subscription
  location  = local.location
}

resource "azapi_resource" "vault" {
  type      = "Microsoft.KeyVault/vaults@2023-07-01"
  name      = var.name
  parent_id = azapi_resource.group.id
  location  = local.location
  tags      = { team = var.team }
  body = {
    properties = {
      tenantId                  = data.azapi_client_config.current.tenant_id
      sku                       = { family = "A", name = "standard" }
      enableRbacAuthorization   = true
      softDeleteRetentionInDays = 7
    }
  }
}

resource "azapi_resource" "secret" {
  type      = "Microsoft.KeyVault/vaults/secrets@2023-07-01"
  name      = "my-secret"
  parent_id = azapi_resource.vault.id
  body      = { properties = { value = "not a secret" } }
}

resource "azapi_resource" "key" {
  type      = "Microsoft.KeyVault/vaults/keys@2023-07-01"
  name      = "my-key"
  parent_id = azapi_resource.vault.id
  body      = { properties = { kty = "RSA", keySize = 2048 } }
}

resource "azapi_resource" "cluster" {
  type                   = "Microsoft.ContainerService/managedClusters@2024-05-01"
  name                   = var.name
  parent_id              = azapi_resource.group.id
  location               = local.location
  response_export_values = ["properties.oidcIssuerProfile.issuerURL"]
  identity { type = "SystemAssigned" }
  body = {
    properties = {
      dnsPrefix         = var.name
      agentPoolProfiles = [{ name = "system", mode = "System", count = 1, vmSize = "Standard_D2s_v5", osType = "Linux" }]
      oidcIssuerProfile = { enabled = true }
      securityProfile   = { workloadIdentity = { enabled = true } }
      addonProfiles     = { azureKeyvaultSecretsProvider = { enabled = true } }
    }
  }
}

resource "azapi_resource" "identity" {
  type                   = "Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31"
  name                   = var.name
  parent_id              = azapi_resource.group.id
  location               = local.location
  response_export_values = ["properties.principalId"]
  body                   = {} # without one, the output is text
}

resource "azapi_resource" "credential" {
  type      = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31"
  name      = "app"
  parent_id = azapi_resource.identity.id
  body = {
    properties = {
      issuer    = azapi_resource.cluster.output.properties.oidcIssuerProfile.issuerURL
      subject   = "system:serviceaccount:app:app"
      audiences = ["api://AzureADTokenExchange"]
    }
  }
}

resource "azapi_resource" "role" {
  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  name      = "0f3b5a8e-6c1d-4f1a-9a6e-2b7d41c0e915"
  parent_id = azapi_resource.vault.id
  body = {
    properties = {
      principalId      = azapi_resource.identity.output.properties.principalId
      principalType    = "ServicePrincipal"
      roleDefinitionId = "${local.subscription}/providers/Microsoft.Authorization/roleDefinitions/${local.secrets_user}"
    }
  }
}
