local engine = require "weir.run.engine"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local store_port = require "weir.port.store"
local testing = require "weir.testing"
local weir = require "weir"
local workspace = require "weir.workspace"

local P, G, S = weir.pipeline, weir.group, weir.step

local function run(pipeline, agents, options)
  options = options or {}
  options.agents = agents
  local result = testing.run(pipeline, options)
  assert.equal(options.status or "finished", result.status, result.error and result.error.message)
  return result
end

local function read(name) return function(ctx) return { value = ctx.workspace:get(name) and ctx.workspace:get(name).value or "none" } end end

describe("the workspace of a run", function()
  it("shows what a step posted to the next one, and to the paths of its input", function()
    local result = run(P "shared" {
      S "write" { agent = "write" }, S "read" { agent = "read" }, S "path" { agent = "echo", input = { text = "${workspace.note} it" } },
    }, { write = function(ctx) ctx.workspace:post("note", "read", { type = "text", tags = { "t" } }) return { ok = true } end, read = read "note" })
    assert.equal("read", result:data("read").value)
    assert.equal("read it", result:data("path").text)
  end)

  it("posts the output of a step that says so, under a name with paths", function()
    local result = run(P "posted" {
      S "draft" { agent = "echo", input = { text = "tide" }, post = { name = "about/${draft.text}", type = "draft" } },
      S "read" { agent = "read" },
    }, { read = function(ctx) return { found = ctx.workspace:list { prefix = "about/" } } end })
    assert.equal("about/tide", result:data("read").found[1].name)
    assert.equal("draft", result:data("read").found[1].type)
  end)

  it("lets every step of a group read the moment of the group's beginning, and itself what it wrote", function()
    local result = run(P "moment" {
      S "first" { agent = "put", options = { value = "old" } },
      G "both" { S "change" { agent = "change" }, S "watch" { agent = "watch" } },
      S "last" { agent = "read" },
    }, {
      put = function(ctx) ctx.workspace:post("x", "old") return true end,
      change = function(ctx) ctx.workspace:post("x", "new") return { value = ctx.workspace:get("x").value } end,
      watch = function(ctx) ctx:sleep(60) return { value = ctx.workspace:get("x").value } end,
      read = read "x",
    })
    assert.same({ "new", "old", "new" }, { result:data("change").value, result:data("watch").value, result:data("last").value })
  end)

  it("loses nothing of steps side by side that add to one document", function()
    local steps = {}
    for index = 1, 20 do steps[index] = S("s" .. index) { agent = "add" } end
    local result = run(P "adding" { G "all" { steps }, S "read" { agent = "read" } }, {
      add = function(ctx)
        ctx.workspace:post("sum", 1, { merge = "counter" })
        ctx.workspace:post("who", { ctx.step and ctx.idempotency_key }, { merge = "set" })
        return true
      end,
      read = function(ctx) return { sum = ctx.workspace:get("sum").value, who = #ctx.workspace:get("who").value } end,
    })
    assert.same({ sum = 20, who = 20 }, result:data "read")
  end)

  it("keeps nothing of an attempt that failed", function()
    local result = run(P "again" { S "try" { agent = "try", retry = { attempts = 2, backoff = 1 } }, S "read" { agent = "read" } }, {
      try = function(ctx)
        ctx.workspace:post("attempt" .. ctx.attempt, true)
        if ctx.attempt == 1 then error "no" end
        return true
      end,
      read = function(ctx) return { #ctx.workspace:list(), ctx.workspace:list()[1].name } end,
    })
    assert.same({ 1, "attempt2" }, result:data "read")
  end)

  it("keeps of a race what those that counted wrote, also in steps of their own", function()
    local function branch(name, seconds)
      return S(name) { S(name .. "_write") { agent = "write" }, S(name .. "_wait") { sleep = seconds }, output = name }
    end
    local result = run(P "race" { G "race" { join = "first", branch("fast", 1), branch("slow", 9) }, S "read" { agent = "read" } }, {
      write = function(ctx) ctx.workspace:post(ctx.idempotency_key:match "race/(%a+)", true) return true end,
      read = function(ctx) return { names = ctx.workspace:list() } end,
    })
    assert.equal(1, #result:data("read").names)
    assert.equal("fast", result:data("read").names[1].name)
  end)

  it("fails a step that expected another version, and its neighbours' writes stay", function()
    local result = run(P "expects" {
      S "write" { agent = "write" }, S "expect" { agent = "expect", optional = true }, S "read" { agent = "read" },
    }, {
      write = function(ctx) ctx.workspace:post("x", 1) return true end,
      expect = function(ctx) ctx.workspace:post("x", 2, { version = 7 }) return true end,
      read = read "x",
    })
    assert.equal(1, result:data("read").value)
    assert.is_nil(result:data "expect")
  end)

  it("is used by the function steps of a flow, and refused to the flow itself", function()
    local result = run(weir.flow "flows" { function(flow)
      flow:step "post" { function(step) step.workspace:post("x", "from a flow") return true end }
      local ok, err = pcall(function() return flow.workspace end)
      assert(not ok and err.code == "invalid")
      return flow:step "read" { function(step) return step.workspace:get("x").value end }
    end }, {})
    assert.equal("from a flow", result.output)
  end)

  it("commits with the step that wrote, not with the function of a flow around it", function()
    local written
    local result = run(weir.flow "nested" { function(flow)
      pcall(function() flow:step "outer" { function(step)
        step:step "inner" { agent = "write" }
        written = step.workspace:get "x" and step.workspace:get("x").value
        step:step "posted" { agent = "echo", input = { text = "p" }, post = "y" }
        error "the outer step fails"
      end } end)
      return flow:step "look" { function(step) return { step.workspace:get("x").value, step.workspace:get("y").value.text } end }
    end }, { write = function(ctx) ctx.workspace:post("x", "kept") return true end })
    assert.equal("kept", written)
    assert.same({ "kept", "p" }, result.output)
  end)

  it("commits with the outcome, and a later life reads the moment that the group had begun with", function()
    local here = project.open "."
    local seen = {}
    local function agent(name, execute) here.registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = execute } end
    agent("put", function(ctx) ctx.workspace:post("x", "old", { scope = "project" }) return true end)
    agent("change", function(ctx) ctx.workspace:post("x", "new", { scope = "project" }) return { ctx.workspace:get("x", { scope = "project" }).value } end)
    agent("late", function(ctx)
      seen[#seen + 1] = ctx.workspace:get("x", { scope = "project" }).value
      ctx:sleep(10)
      return true
    end)
    local definition = assert(here:check(P "lives" { S "put" { agent = "put" }, G "both" { S "late" { agent = "late" }, S "change" { agent = "change" } } }))
    local store = assert(store_port.open ":memory:")
    native.use_virtual_clock(nil, 0)
    local first = engine.new(here, store)
    local started = first:start(definition, {})
    native.sleep(5)
    first:stop "the host ends"
    started:await_left()
    assert.equal("running", store:row(started.id).status)
    assert.equal("new", workspace.view(store, {}):get("x", { scope = "project" }).value)
    local again = engine.new(here, store):reopen(started.id):execute()
    assert.equal("finished", again.status)
    assert.same({ "old", "old" }, seen)
    store:close()
    native.use_real_clock()
  end)
end)

describe("texts that several steps change", function()
  local BASE = "# Report\n\n## One\n\n-\n\n## Two\n\n-\n"
  local function begin(ctx) ctx.workspace:post("report", BASE) return true end
  local function writer(from, to, options, after_s)
    return function(ctx)
      ctx:sleep(after_s or 0)
      local text = ctx.workspace:get("report").value
      local first, last = text:find(from, 1, true)
      assert(first, "what is changed is there: all read the moment of the group's beginning")
      options = options or { merge = "text" }
      ctx.workspace:post("report", text:sub(1, first - 1) .. to .. text:sub(last + 1), options)
      return true
    end
  end
  local function pipeline(more)
    local group = { S "one" { agent = "one" }, S "two" { agent = "two" } }
    return P "texts" { S "begin" { agent = "begin" }, G "both" { group }, S "read" { agent = more or "read" } }
  end

  it("are merged when each changed other lines, from one snapshot", function()
    local result = run(pipeline(), { begin = begin, one = writer("## One\n\n-", "## One\n\nfirst"), two = writer("## Two\n\n-", "## Two\n\nsecond"),
      read = read "report" })
    assert.equal("# Report\n\n## One\n\nfirst\n\n## Two\n\nsecond\n", result:data("read").value)
  end)

  it("fail the step that is later when both changed the same lines, and name them", function()
    local result = run(pipeline(), { begin = begin, one = writer("## One\n\n-", "## One\n\nfirst"), two = writer("## One\n\n-", "## One\n\nno, second"),
      read = read "report" }, { status = "failed" })
    assert.equal("conflict", result.error.code)
    assert.matches("line 5 was changed by two writers", result.error.message)
  end)

  it("are given to the arbiter that the posting names, with all three texts and the lines", function()
    local asked, count = nil, 0
    local options = { merge = "text", arbiter = "peace" }
    local result = run(pipeline(), { begin = begin, one = writer("## One\n\n-", "## One\n\nfirst", options),
      two = writer("## One\n\n-", "## One\n\nsecond", options, 1), read = read "report",
      peace = function(_, input)
        asked, count = input, count + 1
        local one = input.conflicts[1]
        return { text = (input.base:gsub("One\n\n%-", "One\n\n" .. one.theirs[1] .. " and " .. one.ours[1])) }
      end })
    assert.equal("# Report\n\n## One\n\nfirst and second\n\n## Two\n\n-\n", result:data("read").value)
    assert.same({ 5, 5 }, { asked.conflicts[1].first, asked.conflicts[1].last })
    assert.equal(1, count)
  end)

  it("are given to the arbiter of the field post", function()
    local function post(name) return S(name) { agent = name, post = { name = "report", merge = "text", arbiter = "peace" } } end
    local result = run(P "posting" { S "begin" { agent = "begin" }, G "both" { post "one", post "two" }, S "read" { agent = "read" } }, {
      begin = begin, one = function() return BASE .. "one\n" end, two = function(ctx) ctx:sleep(1) return BASE .. "two\n" end, read = read "report",
      peace = function(_, input) return BASE .. input.conflicts[1].theirs[1] .. "\n" .. input.conflicts[1].ours[1] .. "\n" end })
    assert.equal(BASE .. "one\ntwo\n", result:data("read").value)
  end)

  it("fail the step when the arbiter does, and when it gives no text", function()
    local options = { merge = "text", arbiter = "peace" }
    local agents = { begin = begin, one = writer("-", "first", options), two = writer("-", "second", options), read = read "report" }
    agents.peace = function() return { nothing = true } end
    assert.equal("invalid", run(pipeline(), agents, { status = "failed" }).error.code)
    agents.peace = function() return nil, "they will not agree", "rejected" end
    assert.equal("rejected", run(pipeline(), agents, { status = "failed" }).error.code)
  end)

  it("are settled once by their arbiter, whenever the process ends", function()
    local support = dofile "spec/lua/weir/run/support.lua"
    local options = { merge = "text", arbiter = "peace" }
    for writes = 1, 100 do
      local world = support.world { begin = begin, one = writer("## One\n\n-", "## One\n\nfirst", options),
        two = writer("## One\n\n-", "## One\n\nsecond", options), read = read "report",
        peace = function(_, input) return (input.base:gsub("One\n\n%-", "One\n\nfirst and second")) end }
      world:life(writes)
      local ok = pcall(world.begin, world, pipeline(), {})
      if not ok then native.recover() end
      local is_over = world.mortal.is_over
      world:life()
      local first = assert(world.store:runs {})[1]
      if first then
        world:settle(first.id)
        assert.equal("finished", world:ending(first.id).status)
        local report = workspace.view(world.store, { run = first.id }):get "report"
        assert.matches("## One\n\nfirst and second\n\n## Two\n\n-\n", report.value)
        assert.equal(3, report.version) -- that of the outline, and one of each
      end
      world:close()
      if not is_over then return assert.is_true(writes > 5, writes) end
    end
    error "it has no end"
  end)
end)
