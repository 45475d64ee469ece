-- The header that a rate limit counts by is known from a map, and HAProxy's own rules can only read
-- a header whose name stands in the configuration.
core.register_fetches("limit_header", function(txn)
  local name = txn:get_var("req.limit_header")
  return name and txn.f:req_fhdr(name) or ""
end)
