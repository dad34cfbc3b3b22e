# Cloudflare in front of nginx: what may be kept at the edge, and what is kept out. For version 5 of the provider.

terraform {
  required_version = ">= 1.5"
  required_providers {
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.0"
    }
  }
}

provider "cloudflare" {} # CLOUDFLARE_API_TOKEN: zone settings, DNS, cache rules and WAF of one zone

variable "zone_id" {
  type = string
}

variable "hostname" {
  type        = string
  description = "What clients ask for, as sentiment.example.org."
}

variable "origin" {
  type        = string
  description = "Address of nginx."
}

variable "requests_per_minute" {
  type        = number
  default     = 100
  description = "Of one address to the API, before it reaches nginx."
}

locals {
  here   = "http.host eq \"${var.hostname}\""
  hashed = "starts_with(http.request.uri.path, \"/assets/\")"
  pages  = "http.request.uri.path in {\"/docs\" \"/docs.json\" \"/openapi.json\"}"
  api    = "starts_with(http.request.uri.path, \"/v1/\")"
}

resource "cloudflare_dns_record" "service" {
  zone_id = var.zone_id
  name    = var.hostname
  type    = "A"
  content = var.origin
  proxied = true
  ttl     = 1
}

resource "cloudflare_zone_setting" "this" {
  for_each = {
    min_tls_version  = "1.3"
    tls_1_3          = "on"
    ssl              = "strict"
    always_use_https = "on"
    websockets       = "on"
  }
  zone_id    = var.zone_id
  setting_id = each.key
  value      = each.value
}

# The last rule that fits counts: nothing is kept, but for two kinds of files that are the same for everybody.
resource "cloudflare_ruleset" "cache" {
  zone_id     = var.zone_id
  name        = "Multimodal Sentiment: what the edge keeps"
  description = "The page's hashed files and the API's description; never an answer"
  kind        = "zone"
  phase       = "http_request_cache_settings"

  rules = [
    {
      ref         = "nothing"
      description = "Answers are somebody's"
      expression  = "(${local.here})"
      action      = "set_cache_settings"
      action_parameters = {
        cache = false
      }
    },
    {
      ref         = "hashed_files"
      description = "The page's files with a digest in their names: as long as the page says, which is a year"
      expression  = "(${local.here} and ${local.hashed} and http.request.method in {\"GET\" \"HEAD\"})"
      action      = "set_cache_settings"
      action_parameters = {
        cache       = true
        edge_ttl    = { mode = "respect_origin" }
        browser_ttl = { mode = "respect_origin" }
        cache_key   = { custom_key = { query_string = { exclude = { all = true } } } }
      }
    },
    {
      ref         = "api_page"
      description = "The API's page and document: five minutes at the edge, though browsers keep nothing"
      expression  = "(${local.here} and ${local.pages} and http.request.method in {\"GET\" \"HEAD\"})"
      action      = "set_cache_settings"
      action_parameters = {
        cache       = true
        browser_ttl = { mode = "respect_origin" }
        cache_key   = { custom_key = { query_string = { exclude = { all = true } } } }
        edge_ttl = {
          mode    = "override_origin"
          default = 300
          status_code_ttl = [
            { status_code_range = { from = 400, to = 599 }, value = -1 }, # no-store
          ]
        }
      }
    },
  ]
}

# A kept page must not carry what belonged to the request that it was kept from.
resource "cloudflare_ruleset" "kept_headers" {
  zone_id     = var.zone_id
  name        = "Multimodal Sentiment: headers of kept pages"
  description = "Request id, timings and budget are of one request"
  kind        = "zone"
  phase       = "http_response_headers_transform"

  rules = [
    {
      ref         = "kept_headers"
      description = "No headers of the first request"
      expression  = "(${local.here} and ${local.pages})"
      action      = "rewrite"
      action_parameters = {
        headers = {
          "X-Request-ID"        = { operation = "remove" }
          "Server-Timing"       = { operation = "remove" }
          "RateLimit-Limit"     = { operation = "remove" }
          "RateLimit-Remaining" = { operation = "remove" }
          "RateLimit-Reset"     = { operation = "remove" }
          "RateLimit-Policy"    = { operation = "remove" }
        }
      }
    },
  ]
}

resource "cloudflare_ruleset" "managed" {
  zone_id     = var.zone_id
  name        = "Multimodal Sentiment: managed rules"
  description = "Cloudflare's rules and OWASP's"
  kind        = "zone"
  phase       = "http_request_firewall_managed"

  rules = [
    {
      ref               = "cloudflare"
      description       = "Cloudflare Managed Ruleset"
      expression        = "(${local.here})"
      action            = "execute"
      action_parameters = { id = "efb7b8c949ac4650a09736fc376e9aee" }
    },
    {
      ref               = "owasp"
      description       = "OWASP Core Ruleset; texts to be judged may read like an attack, so not for the API"
      expression        = "(${local.here} and not ${local.api})"
      action            = "execute"
      action_parameters = { id = "4814384a9e5d4991b9815dcfc25d2f1f" }
    },
  ]
}

resource "cloudflare_ruleset" "firewall" {
  zone_id     = var.zone_id
  name        = "Multimodal Sentiment: what is shut"
  description = "Metrics, and methods that nothing takes"
  kind        = "zone"
  phase       = "http_request_firewall_custom"

  rules = [
    {
      ref         = "hidden"
      description = "Metrics are for Prometheus"
      expression  = "(${local.here} and http.request.uri.path eq \"/metrics\")"
      action      = "block"
      action_parameters = {
        response = {
          status_code  = 404
          content_type = "application/json" # Cloudflare knows no other for JSON
          content = jsonencode({
            type   = "/problems/not_found"
            title  = "There is nothing here"
            status = 404
            detail = "This path is not open to the outside; see /docs for every route."
            code   = "not_found"
          })
        }
      }
    },
    {
      ref         = "methods"
      description = "Methods that no route takes"
      expression  = "(${local.here} and not http.request.method in {\"GET\" \"HEAD\" \"POST\" \"DELETE\" \"OPTIONS\"})"
      action      = "block"
      action_parameters = {
        response = {
          status_code  = 405
          content_type = "application/json"
          content = jsonencode({
            type   = "/problems/method_not_allowed"
            title  = "The route does not take this method"
            status = 405
            detail = "Use a method that /docs lists for this path."
            code   = "method_not_allowed"
          })
        }
      }
    },
  ]
}

resource "cloudflare_ruleset" "rates" {
  zone_id     = var.zone_id
  name        = "Multimodal Sentiment: how often"
  description = "Requests of one address to the API"
  kind        = "zone"
  phase       = "http_ratelimit"

  rules = [
    {
      ref         = "api"
      description = "Requests a minute"
      expression  = "(${local.here} and ${local.api})"
      action      = "block"
      ratelimit = {
        characteristics     = ["ip.src", "cf.colo.id"]
        period              = 60
        requests_per_period = var.requests_per_minute
        mitigation_timeout  = 60
      }
      action_parameters = {
        response = {
          status_code  = 429
          content_type = "application/json"
          content = jsonencode({
            type   = "/problems/rate_limited"
            title  = "Too many requests"
            status = 429
            detail = "This address asks too often; wait for the seconds in Retry-After."
            code   = "rate_limited"
          })
        }
      }
    },
  ]
}
