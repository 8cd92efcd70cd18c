local engine_of = require "weir.run.engine"
local failure = require "weir.failure"
local project = require "weir.project"
local store_port = require "weir.port.store"
local trial = require "weir.repl.trial"

describe("an agent that is tried and asks a model", function()
  local host, said
  before_each(function()
    local here = project.open "."
    local store = assert(store_port.open ":memory:")
    host, said = { project = here, store = store, engine = engine_of.new(here, store) }, {}
    here.registry:put { kind = "model", name = "m", api = 1, options = { type = "object" }, chat = function(ctx, request)
      ctx:emit { text = "one " }
      local tools = request.tools and #request.tools or 0
      return { message = { role = "assistant", content = ("%s, %d tools"):format(request.messages[1].content, tools) }, finish = "stop" }
    end }
    here.settings.model = "m"
  end)
  after_each(function()
    host.engine:close()
    host.store:close()
  end)

  local function call(options, step)
    return trial.call(host, { run = "none", pipeline = "none", key = "x", agent = "ask", input = { prompt = "hello" }, step = step,
      say = function(text) said[#said + 1] = text end }, options)
  end

  it("is refused where nothing may reach out of the host", function()
    local ok, err = pcall(call, {})
    assert.is_false(ok)
    assert.same({ "denied", true }, { failure.of(err).code, failure.of(err).message:find("effects = true", 1, true) ~= nil })
  end)

  it("gets its answer where that is allowed, with the model and the tools of the step", function()
    assert.equal("hello, 0 tools", call({ effects = true }).text)
    assert.equal("hello, 1 tools", call({ effects = true }, { model = "m", tools = { { use = "echo" } } }).text)
    assert.same({}, (host.store:runs {})) -- nothing is kept of it
  end)
end)
