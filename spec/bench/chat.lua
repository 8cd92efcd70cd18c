-- Answers of a language model that streams as fast as it can (model.c), through a model module and `ctx:chat` to whoever reads
-- them. Beside each figure libcurl alone, reading from the same server.

local channel = require "weir.channel"
local json = require "weir.native.json"
local paths = require "weir.paths"
local process = require "weir.port.process"
local store_port = require "weir.port.store"
local task = require "weir.task"
local uv = require "luv"
local weir = require "weir"

local PROGRAM = paths.natives .. "/bench_model"

-- The server: `url(tokens, batch, pause_us)` is where a model says so many tokens; `said()` gives its next line.
local function serve(bench)
  local child = assert(process.start({ PROGRAM, "serve" }, { pipe = true }))
  table.insert(bench.open, { close = function()
    child.stdin:close()
    child:wait(5)
  end })
  local rest = ""
  local self = {}
  function self.said()
    while true do
      local line, after = rest:match "^([^\n]*)\n(.*)$"
      if line then
        rest = after
        return line
      end
      rest = rest .. assert(child.stdout:recv(10))
    end
  end
  local port = self.said()
  function self.url(tokens, batch, pause_us)
    return ("http://127.0.0.1:%s/%d/%d/%d/v1"):format(port, tokens, batch, pause_us or 0)
  end
  return self
end

-- What the floor's program says.
local function bare(...)
  local result = assert(process.run({ PROGRAM, ... }, { timeout = 60, max_bytes = 1 << 24 }))
  if result.status ~= 0 then error(("'%s' failed: %s"):format(table.concat({ ... }, " "), result.stderr), 0) end
  return result.stdout
end

-- Tokens ---------------------------------------------------------------------------------------------

local BUFFER = 64

local function definition(durability)
  return weir.pipeline "chat" { durability = durability,
    weir.group "both" {
      weir.step "ask" { agent = "asks", model = "bench", stream = { buffer = BUFFER } },
      weir.step "read" { agent = "reads", from = "ask" },
    } }
end

local function must_finish(run)
  if run.status ~= "finished" then error(run.error.message, 0) end
end

-- `size` tokens of one answer, that one step asks for and another of the group reads. batch: how many the server writes at once.
local function tokens(name, durability, batch, goal_ratio)
  local benchmark = { figures = { { name = name, unit = "tokens/s", goal_ratio = goal_ratio } }, sizes = { 10000, 30000, 100000 } }

  function benchmark.prepare(bench, size)
    local server = serve(bench)
    local url = server.url(size, batch)
    bench.project.settings.models = { bench = { use = "compatible", options = { url = url } } }
    bench:agent("asks", function(ctx)
      ctx:chat { prompt = "go", emit = true }
    end)
    local heard
    bench:agent("reads", function(ctx)
      heard = 0
      for _ in ctx:items() do heard = heard + 1 end
      return heard
    end)
    local store = durability == "step" and bench:store() or nil
    local engine, pipeline = bench:engine(store), bench:check(definition(durability))
    table.insert(bench.open, engine)
    local function run(count)
      local done, from = 0, bench.now()
      while done < count do
        must_finish(engine:run(pipeline, {}))
        if heard ~= size then error(("%d tokens of %d were read"):format(heard, size), 0) end
        done = done + size
      end
      return done, bench.now() - from
    end
    local function read(count)
      local done, took = 0, 0
      while done < count do
        took = took + tonumber((bare("read", url .. "/chat/completions"):match "%S+"))
        done = done + size
      end
      return done, took
    end
    return { weir = bench:rate(run), floor = bench:rate(read) }
  end

  return benchmark
end

-- A process of its own -------------------------------------------------------------------------------

local LONGEST = 30 -- seconds until a process must be as far as it is to come
local PAUSE, SAME = 0.02, 3 -- seconds between looks at the memory, and how many must agree

local ASKS = [[
return { kind = "agent", name = "asks", api = 1, execute = function(ctx) ctx:chat { prompt = "go", emit = true } end }]]
local READS = [[
return { kind = "agent", name = "reads", api = 1, options = { pause = "number" }, execute = function(ctx)
  for _ in ctx:items() do
    if ctx.options.pause > 0 then ctx:sleep(ctx.options.pause) end
  end
  return true
end }]]
local IDLE = [[
local weir = require "weir"
return weir.pipeline "idle" { weir.step "rest" { sleep = "50s" } }]]
local STREAMS = [[
local weir = require "weir"
local steps = {}
for index = 1, %d do
  steps[2 * index - 1] = weir.step("ask" .. index) { agent = "asks", model = "bench", stream = true }
  steps[2 * index] = weir.step("read" .. index) { agent = "reads", options = { pause = %g }, from = "ask" .. index }
end
return weir.pipeline "streams" { durability = "none", weir.group "all" (steps) }]]

-- The folder of a project whose model is at `url`.
local function project_of(bench, url)
  local folder = bench:folder()
  local function write(name, text)
    local file <close> = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
  end
  assert(os.execute(("mkdir -p '%s/modules/agents' '%s/pipelines'"):format(folder, folder)))
  write("weir.lua", ("return { models = { bench = { use = 'compatible', options = { url = '%s' } } } }"):format(url))
  write("modules/agents/asks.lua", ASKS)
  write("modules/agents/reads.lua", READS)
  write("pipelines/idle.lua", IDLE)
  return folder, write
end

local function anonymous_bytes(pid)
  local file <close> = io.open(("/proc/%d/status"):format(pid))
  local kilobytes = file and file:read("a"):match "RssAnon:%s*(%d+) kB"
  if not kilobytes then error("the process that was measured has ended", 0) end
  return kilobytes * 1024
end

local function start(folder, pipeline)
  return assert(process.start({ uv.exepath(), "run", pipeline, "--store", folder .. "/store-" .. pipeline }, { cwd = folder }))
end

-- What a process takes that only waits, once it does not change any more.
local function idle_bytes(folder)
  local child <close> = start(folder, "idle")
  local due, same, latest = task.now() + LONGEST, 0, nil
  child.stderr:recv(LONGEST)
  repeat
    task.sleep(PAUSE)
    local bytes = anonymous_bytes(child.pid)
    same = bytes == latest and same + 1 or 0
    latest = bytes
  until same == SAME or task.now() > due
  child:kill "sigkill"
  return latest
end

-- The most memory that a process takes within some seconds.
local function most_bytes(child, seconds)
  local most, until_s = 0, task.now() + seconds
  repeat
    most = math.max(most, anonymous_bytes(child.pid))
    task.sleep(PAUSE)
  until task.now() >= until_s
  return most
end

local function await_begin(server, count)
  while count > 0 do
    if server.said() == "begin" then count = count - 1 end
  end
end

-- `size` streams at once, none of which ends, each with a second step that reads it: what they take above an idle process.
local many = { figures = { { name = "streams at once, memory", unit = "bytes", goal_value = 60e6 } }, sizes = { 50, 100, 200 }, once = true }

local TOKEN_US = 20000 -- between two tokens of a stream

function many.prepare(bench, size)
  local server = serve(bench)
  local url = server.url(0, 1, TOKEN_US)
  local folder, write = project_of(bench, url)
  write("pipelines/streams.lua", STREAMS:format(size, 0))
  local function weir_side()
    local before = idle_bytes(folder)
    local child <close> = start(folder, "streams")
    await_begin(server, size)
    local bytes = most_bytes(child, 1) - before
    child:kill "sigkill"
    return bytes
  end
  return { weir = weir_side, floor = function() return tonumber(bare("hold", url .. "/chat/completions", tostring(size))) end }
end

-- A model as fast as can be, whose reader takes a millisecond for each token, for `size` seconds: what the process takes above an
-- idle one, how much the server could write, and how long it could.
local slow = {
  figures = { { name = "slow reader, memory", unit = "bytes", goal_value = 16 << 20 }, { name = "slow reader, bytes the server could write", unit = "bytes" },
    { name = "slow reader, server not blocked", unit = "%", goal_value = 10 } },
  sizes = { 1, 2, 4 }, once = true,
}

-- The last stream of a server: bytes, and the part of the time in which it could write.
local function ending(server)
  local line
  repeat line = server.said() until line:find "^end"
  local bytes, blocked, other = line:match "^end %d+ (%d+) (%S+) (%S+)"
  return tonumber(bytes), 100 * other / (other + blocked)
end

function slow.prepare(bench, size)
  local server = serve(bench)
  local url = server.url(0, 64)
  local folder, write = project_of(bench, url)
  write("pipelines/streams.lua", STREAMS:format(1, 0.001))
  local function weir_side()
    local before = idle_bytes(folder)
    local child <close> = start(folder, "streams")
    await_begin(server, 1)
    local bytes = most_bytes(child, size) - before
    child:kill "sigkill"
    return bytes, ending(server)
  end
  local function floor_side()
    local bytes = tonumber(bare("stop", url .. "/chat/completions", tostring(size)))
    return bytes, ending(server)
  end
  return { weir = weir_side, floor = floor_side }
end

-- Cancelling -----------------------------------------------------------------------------------------

-- From the cancellation of a run whose step streams to the moment at which the server sees the socket closed, while `size` other
-- streams go on. Floor: libcurl that gives up a stream.
local cancelling = {
  figures = { { name = "cancel to socket closed, p50", unit = "s", cost = "each" },
    { name = "cancel to socket closed, p99", unit = "s", cost = "each", goal_value = 0.005 } },
  sizes = { 1, 10, 50 }, once = true,
}

local SAMPLES = 200

local function closed_at(server)
  local line
  repeat line = server.said() until line:find "^end"
  return tonumber(line:match "%S+$")
end

local function seconds_now()
  return uv.hrtime() / 1e9 -- the clock of the server
end

function cancelling.prepare(bench, size)
  local server, alone = serve(bench), serve(bench)
  bench.project.settings.models = { bench = { use = "compatible", options = { url = server.url(0, 1, TOKEN_US) } } }
  bench:agent("asks", function(ctx) ctx:chat { prompt = "go", emit = true } end)
  local heard = {}
  bench:agent("reads", function(ctx)
    for _ in ctx:items() do
      local waiter = heard[ctx.run.id]
      heard[ctx.run.id] = nil
      if waiter then waiter:close() end
    end
    return true
  end)
  local engine, pipeline = bench:engine(), bench:check(definition "none")
  local function begin()
    local run = engine:prepare(pipeline, {})
    heard[run.id] = channel.new(1)
    local ended = task.spawn(function() run:execute() end)
    heard[run.id]:recv()
    return run, ended
  end
  local function weir_side()
    local others, took = {}, {}
    for index = 1, size do others[index] = table.pack(begin()) end
    for index = 1, SAMPLES do
      local run, ended = begin()
      local from = seconds_now()
      run:cancel "measured"
      took[index] = closed_at(server) - from
      ended:join()
    end
    for _, other in ipairs(others) do
      other[1]:cancel "measured"
      other[2]:join()
    end
    return bench:percentile(took, 0.5), bench:percentile(took, 0.99)
  end
  local function floor_side()
    local took = {}
    for line in bare("abort", alone.url(0, 1, TOKEN_US) .. "/chat/completions", tostring(SAMPLES)):gmatch "%S+" do
      took[#took + 1] = math.max(1e-7, closed_at(alone) - tonumber(line))
    end
    return bench:percentile(took, 0.5), bench:percentile(took, 0.99)
  end
  return { weir = weir_side, floor = floor_side }
end

-- Conversations --------------------------------------------------------------------------------------

-- An agent whose model calls a tool `size` times, each of which gives 8 KB (2,000 tokens): what the journal takes for each byte of
-- the conversation. Floor: the conversation itself, each message once.
local conversation = {
  figures = { { name = "journal bytes a conversation byte", unit = "B/B", cost = "each", goal_ratio = 1 / 1.2 },
    { name = "disk bytes a conversation byte", unit = "B/B", cost = "each" } },
  sizes = { 25, 50, 100 }, once = true,
}

local RESULT_BYTES = 8000

local function result_of(index)
  local words = {}
  for place = 1, RESULT_BYTES // 8 do words[place] = ("%07x"):format((index * 7919 + place * 104729) % 0xfffffff) end
  return table.concat(words, " ")
end

local function size_of(messages)
  local bytes = 0
  for _, message in ipairs(messages) do
    bytes = bytes + #message.content
    for _, call in ipairs(message.tool_calls or {}) do bytes = bytes + #call.name + #json.encode(call.arguments) end
  end
  return bytes
end

local BLOB_ABOVE = 1536 -- bytes of an element that the store keeps by its content, once

-- What the journal of a run takes.
local function journal_bytes(store, id)
  local bytes, known = 0, {}
  for _, entry in ipairs(assert(store:load(id))) do
    for _, element in ipairs(entry) do
      local encoded = assert(store_port.encode(element))
      if #encoded <= BLOB_ABOVE or not known[encoded] then bytes = bytes + #encoded end
      known[encoded] = #encoded > BLOB_ABOVE
    end
  end
  return bytes
end

function conversation.prepare(bench, size)
  bench.project.registry:put { kind = "model", name = "scripted", api = 1, chat = function(_, request)
    local at = #request.messages // 2 + 1
    if at > size then return { message = { role = "assistant", content = "done" }, finish = "stop" } end
    return { finish = "tool_calls", usage = { input_tokens = at * RESULT_BYTES // 4, output_tokens = 20 },
      message = { role = "assistant", content = "", tool_calls = { { id = "call_" .. at, name = "look", arguments = { at = at } } } } }
  end }
  local bytes
  bench:agent("works", function(ctx)
    local answer = ctx:converse { prompt = "look at all of it", rounds = size + 1, calls = size, tools = { { name = "look",
      description = "looks at a place", parameters = { type = "object", properties = { at = { type = "integer" } }, required = { "at" } },
      call = function(_, input) return result_of(input.at) end } } }
    bytes = size_of(answer.messages)
    return #answer.messages
  end)
  local store = bench:store()
  local engine, pipeline = bench:engine(store), bench:check(weir.pipeline "talk" { weir.step "work" { agent = "works", model = "scripted" } })
  local function weir_side()
    local before = store:stats().used_bytes
    local run = engine:run(pipeline, {})
    must_finish(run)
    engine:close()
    return journal_bytes(store, run.id) / bytes, (store:stats().used_bytes - before) / bytes
  end
  return { weir = weir_side, floor = function() return 1, 1 end }
end

return { tokens("tokens of a model to a second step", "none", 1, 1 / 3), tokens("tokens of a model, 64 a write", "none", 64),
  tokens("tokens of a model, durable", "step", 1), many, slow, cancelling, conversation }
