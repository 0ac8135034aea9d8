-- Registrations for ./bench, by wrk: each of another branch. ROUND keeps the rounds' branches apart, KEY is
-- the API key.
local headers = { ["Authorization"] = "Bearer " .. os.getenv("KEY"), ["Content-Type"] = "application/json" }
local round = os.getenv("ROUND")
local at = 0

function request()
  at = at + 1
  return wrk.format("POST", "/token-management/clients", headers, string.format(
    '{"client_id":"bench.apps.googleusercontent.com","client_secret":"GOCSPX-bench-%07d",' ..
    '"branch_id":"new-%s-%07d","workspace_email":"bench@example.com","workspace_name":"Bench"}', at, round, at))
end

function done(summary)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
