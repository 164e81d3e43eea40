-- What wrk asks for. Arguments: `steady`, or `trouble ROUND`.
local trouble, round = false, "0"
local n = 0

function init(args)
  trouble, round = args[1] == "trouble", args[2] or "0"
end

-- ms between a connection's requests.
function delay()
  return trouble and 200 or 100
end

function request()
  n = n + 1
  -- Connections come and go, but for most requests they stay.
  local headers = n % 25 == 0 and { Connection = "close" } or {}
  if trouble then
    -- Paths that no round had before.
    return wrk.format("GET", (n % 2 == 0 and "/fail/" or "/slow/") .. round .. "-" .. n % 5, headers)
  end
  return wrk.format("GET", "/api/orders/" .. n, headers)
end
