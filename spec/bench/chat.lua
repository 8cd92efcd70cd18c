-- Answers of a language model that streams as fast as it can (model.c), through a model module and `ctx:chat` to whoever reads
-- them. Beside each figure libcurl alone, reading from the same server.

local paths = require "weir.paths"
local process = require "weir.port.process"
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

return { tokens("tokens of a model to a second step", "none", 1, 1 / 3), tokens("tokens of a model, 64 a write", "none", 64, 1 / 3),
  tokens("tokens of a model, durable", "step", 64) }
