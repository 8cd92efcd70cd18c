-- Events that come in and are queued for their pipelines, durable, each with its dedupe key: deliveries of a webhook, verified
-- and taken in by `size` senders at once (without the socket, which the rows of the HTTP door measure); files of a folder, from
-- the last one written to the last one queued. None may be lost: what is queued is counted. Floor: LMDB commits of as many
-- records.

local clock = require "weir.port.clock"
local digest = require "weir.native.digest"
local files = require "weir.port.files"
local json = require "weir.native.json"
local log_of = require "weir.log"
local serve = require "weir.serve"
local signature = require "weir.http.signature"
local task = require "weir.task"

local RECORD = 400 -- bytes of an event and its place
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "taker" { input = "object", on = { %s }, queue = { limit = 1000000000, concurrency = 1 },
  weir.step "held" { wait = { signal = "never" } } }
]]
local WIDE = 'input = { type = "object" }'

-- A host of a project whose one pipeline has one run at work, which waits; the rest is queued.
local function host_of(bench, on)
  local path = bench:folder() .. "/project"
  assert(files.write(path .. "/pipelines/taker.lua", (PIPELINE:format(on):gsub('input = "object"', WIDE)), { folders = true }))
  assert(files.write(path .. "/weir.lua", "return {}"))
  assert(files.make_folder(path .. "/in"))
  local host = serve.start { folder = path, http = false, env = function() end, logger = log_of.new { write = function() end } }
  host.engine.patience = 3600
  table.insert(bench.open, { close = function() host:stop("the bench is over", 0.1) end })
  host.triggers:settle()
  while not next(host.triggers.sources) or select(2, next(host.triggers.sources)).status ~= "running" do task.sleep(0.01) end
  return host, path
end

local function queued(host)
  local counts = host.triggers.counts["taker/" .. (host.triggers.sources["taker/files"] and "files" or "webhook")] or {}
  return counts.queued or 0
end

local webhook = {
  figures = { { name = "webhook deliveries, queued", unit = "events/s", goal_value = 5000 } },
  sizes = { 16, 64, 256 },
}

function webhook.prepare(bench, size)
  local host = host_of(bench, 'webhook = { path = "shop" }')
  local intake = require("weir.http.intake").new(host)
  local hook = signature.new({ scheme = "standard", secret = "whsec_" .. digest.to_base64(("k"):rep(32)) }, "bench")
  local sent = 0
  local function deliver()
    sent = sent + 1
    local id, body, at = "msg_" .. sent, ('{"order":%d}'):format(sent), tostring(math.floor(clock.wall()))
    local mark = digest.to_base64(digest.hmac_sha256(hook.secrets[1], ("%s.%s.%s"):format(id, at, body), "raw"))
    local headers = { ["webhook-id"] = id, ["webhook-timestamp"] = at, ["webhook-signature"] = "v1," .. mark }
    local delivery = assert(signature.verify(hook, function(name) return headers[name], headers[name] and 1 or 0 end, body, clock.wall()))
    intake:take({ specversion = "1.0", id = delivery.id, source = "/hooks/shop", type = "webhook", data = json.decode(body) },
      digest.sha256("hook shop " .. delivery.id), "hook")
  end
  local function take(count)
    local before, tasks = queued(host), {}
    local from = bench.now()
    for first = 1, size do
      tasks[first] = task.spawn(function()
        for _ = first, count, size do deliver() end
      end)
    end
    for _, one in ipairs(tasks) do assert(one:join()) end
    local seconds = bench.now() - from
    if queued(host) - before ~= count then error(("%d of %d deliveries were queued"):format(queued(host) - before, count), 0) end
    return count, seconds
  end
  local log = bench:log()
  return { weir = bench:rate(take), floor = function(seconds) return (log:commit(size, RECORD, seconds)) end }
end

local folder = {
  figures = { { name = "files of a folder, queued", unit = "events/s", goal_value = 1000 } },
  sizes = { 200, 1000, 3000 },
}

function folder.prepare(bench, size)
  local host, path = host_of(bench, 'files = { path = "in", settle = 0.1 }')
  local round = 0
  local function take()
    round = round + 1
    local before = queued(host)
    local from = bench.now()
    for n = 1, size do
      local file = assert(io.open(("%s/in/%d_%d.txt"):format(path, round, n), "w"))
      file:write(("text %d of %d"):format(n, round))
      file:close()
      if n % 20 == 0 then task.sleep(0.001) end -- others write, too
    end
    while queued(host) - before < size do task.sleep(0.005) end
    local seconds = bench.now() - from
    if queued(host) - before ~= size then error(("%d files were queued %d times"):format(size, queued(host) - before), 0) end
    return size, seconds
  end
  local log = bench:log()
  return { weir = function()
    local done, seconds = take()
    return done / seconds
  end, floor = function(seconds) return (log:commit(1, RECORD, seconds)) end }
end

return { webhook, folder }
