resource "auth0_role" "exporter" {
  name        = "exporter"
  description = "$${exports} \"%%{x}\""
}

resource "auth0_role_permissions" "exporter" {
  role_id = auth0_role.exporter.id

  permissions {
    name                       = "read"
    resource_server_identifier = "https://orders/"
  }
}

# application ledger: owner is taken away
# application ledger: grant of https://orders/: scopes: takes away ["erase"]
# application ledger: grant of https://ledger/ is taken away
import {
  to = auth0_client.ledger
  id = "ID-OF-ledger"
}

resource "auth0_client" "ledger" {
  name        = "Ledger"
  app_type    = "non_interactive"
  grant_types = ["client_credentials"]
  client_metadata = {
    "m2mwatch_key" = "ledger"
    "purpose"      = "books"
  }
}

import {
  to = auth0_client_grant.ledger_orders
  id = "GRANT"
}

resource "auth0_client_grant" "ledger_orders" {
  client_id          = auth0_client.ledger.id
  audience           = "https://orders/"
  scopes             = ["read", "write"]
  organization_usage = "allow"
}

resource "auth0_organization_client_grant" "ledger_orders_acme_org" {
  organization_id = "ORG"
  grant_id        = auth0_client_grant.ledger_orders.id
}

resource "auth0_client" "loader" {
  name        = "loader"
  app_type    = "non_interactive"
  grant_types = ["client_credentials"]
  client_metadata = {
    "m2mwatch_key" = "loader"
    "owner"        = "data-team"
  }
}

resource "auth0_client_grant" "loader_ledger" {
  client_id = auth0_client.loader.id
  audience  = "https://ledger/"
  scopes    = ["read"]
}

# application gone ("ID-OF-gone") is to be deleted: take its resources out.

# user nightly: app_metadata.ticket is taken away
# user nightly: roles: takes away ["other"]
# user nightly: permissions: takes away ["read@https://orders/"]
import {
  to = auth0_user.nightly
  id = "ID-OF-nightly"
}

resource "auth0_user" "nightly" {
  connection_name = "Username-Password-Authentication"
  email           = "Nightly@example.com"
  app_metadata    = "{\"expires\":\"2027-06-30\",\"m2mwatch_key\":\"nightly\",\"more\":{\"a\":[1,true]},\"owner\":\"o\",\"programmatic\":true,\"rank\":2.0}"
}

resource "auth0_user_roles" "nightly" {
  user_id = auth0_user.nightly.id
  roles   = [auth0_role.exporter.id]
}

variable "password_of_hourly" {
  type      = string
  sensitive = true
}

resource "auth0_user" "hourly" {
  connection_name = "Username-Password-Authentication"
  user_id         = "09217a83dc8522535b06f5c7"
  email           = "hourly@example.com"
  username        = "hourly"
  password        = var.password_of_hourly
  verify_email    = false
  blocked         = true
  app_metadata    = "{\"m2mwatch_key\":\"hourly\",\"programmatic\":true}"
}

resource "auth0_user_permissions" "hourly" {
  user_id = auth0_user.hourly.id

  permissions {
    name                       = "write"
    resource_server_identifier = "https://orders/"
  }
}

