-- The load of ./bench, for wrk: asks for one branch after the other. BRANCHES says how many there are,
-- KEY the API key. The peers get the very same requests. The requests are made before the clock starts.
local requests = {}
local count = tonumber(os.getenv("BRANCHES"))
local at = 0
-- With SCATTER the order jumps over the whole set; each is still asked for once before any comes again.
local step = os.getenv("SCATTER") and 61803 or 1

function init()
  local headers = { ["Authorization"] = "Bearer " .. os.getenv("KEY") }
  for i = 1, count do
    requests[i] = wrk.format("GET", string.format("/token-management/tokens/branch-%06d", i), headers)
  end
end

function request()
  at = (at + step) % count
  return requests[at + 1]
end

-- Any answer that is not a 200 spoils the measurement: bench reads this line.
function done(summary)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
