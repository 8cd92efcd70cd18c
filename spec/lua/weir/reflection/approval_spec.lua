local reflection = dofile "spec/lua/weir/reflection/support.lua"
local recovery = require "weir.run.recovery"

local EXAMPLES = 'examples = { { base = 10 }, { base = 20 }, { base = 30 }, { base = 40 } }, holdout = 0.5,'
local HUMAN = 'approve = "human", who = { "ada" },' .. EXAMPLES

describe("the approval of a candidate", function()
  local place
  after_each(function()
    if place then place:close() end
    place = nil
  end)

  local function asked(text, propose, options)
    place = reflection.place(text, propose, options)
    local cycle = place:reflect(place:run())
    return cycle, place:questions(cycle)[1]
  end

  local function go_on(cycle)
    return recovery.open(place.engine, cycle.id):execute()
  end

  it("is a person's, who sees the change before anything of it is tried; the question waits durably", function()
    local cycle, question = asked(reflection.pipeline(HUMAN), reflection.sizes(4))
    assert.equal("waiting", cycle.status)
    assert.equal("Try this change of 'p'?", question.title)
    assert.same({ "~ /groups/1/steps/0/options/size  4" }, { table.unpack(question.show.changes) })
    assert.same({ "ada" }, { table.unpack(question.who) })
    assert.same({ "proposed" }, place:states())
    place:life(true)
    assert(place:decide_on(question, "approve", { hash = question.hash }))
    local ended = go_on(cycle)
    assert.equal("finished", ended.status, ended.error and ended.error.message)
    local one = place:candidates()[1]
    assert.same({ "kept", "ada", question.hash }, { one.state, one.by, one.hash })
    assert.equal(4, place:size())
  end)

  it("is bound to what was shown: another hash is refused", function()
    local _, question = asked(reflection.pipeline(HUMAN), reflection.sizes(4))
    local done, message, code = place:decide_on(question, "approve", { hash = ("0"):rep(64) })
    assert.is_nil(done)
    assert.equal("conflict", code, message)
  end)

  it("is only for those who are named", function()
    local _, question = asked(reflection.pipeline(HUMAN), reflection.sizes(4))
    local done, _, code = place:decide_on(question, "approve", { by = "bob" })
    assert.same({ nil, "denied" }, { done, code })
  end)

  it("that is refused ends the cycle: nothing was tried, what served goes on serving", function()
    local cycle, question = asked(reflection.pipeline(HUMAN), reflection.sizes(4, 3))
    local counted = place.done.first
    assert(place:decide_on(question, "reject", { comment = "not now" }))
    local ended = go_on(cycle)
    assert.equal("rejected", ended.output.stopped.code)
    assert.matches("not now", ended.output.stopped.why)
    assert.same({ "refused" }, place:states())
    assert.equal(1, place:size())
    assert.equal(counted, place.done.first)
  end)

  it("by the rule lets pass what only sets steps otherwise, and asks a person for all else", function()
    local text = reflection.pipeline('approve = "auto",' .. EXAMPLES)
    local cycle, question = asked(text, function()
      return { reason = "another agent", patch = { { op = "replace", path = "/groups/0/steps/0/agent", value = "counted" } } }
    end)
    assert.equal("waiting", cycle.status)
    assert.same({ "~ /groups/0/steps/0/agent  counted" }, { table.unpack(question.show.changes) })
  end)

  it("of another source for a module is always a person's, who sees the lines; it is loaded only then", function()
    local source = reflection.COUNTED:gsub("math.abs%(5 %- ctx.options.size%)", "0")
    local cycle, question = asked(reflection.pipeline('approve = "auto",' .. EXAMPLES), function(_, record)
      assert.is_truthy(record.sources["agents/counted"]:find("math.abs", 1, true) or record.round == 2)
      return record.round == 1 and { reason = "no loss", source = { module = "agents/counted", text = source } } or nil
    end)
    assert.equal("agents/counted", question.show.module)
    assert.same({ "-3   return { size = ctx.options.size, score = input.base - math.abs(5 - ctx.options.size) }",
      "+3   return { size = ctx.options.size, score = input.base - 0 }" }, { table.unpack(question.show.changes) })
    local before = place.project.registry:get "agents/counted".version
    assert(place:decide_on(question, "approve"))
    local ended = go_on(cycle)
    assert.equal("no_proposal", ended.output.stopped.code, ended.output.stopped.why)
    local one = place:candidates()[1]
    assert.same({ "kept", "agents/counted" }, { one.state, one.module })
    local serving = place.project.registry:get "agents/counted"
    assert.not_equal(before, serving.version)
    assert.equal(one.module_version, serving.version)
    assert.equal(100, place:run({ base = 100 }).output.score)
    place:life() -- also in a process that begins later
    assert.equal(100, place:run({ base = 100 }).output.score)
    local done = require("weir.registry.revise").rollback(place.project.registry, "agents/counted")
    assert.equal(before, done.to)
  end)

  it("of a source that does not load, or that may not be changed, is refused with the path", function()
    for _, case in ipairs {
      { { module = "agents/counted", text = "return {" }, "invalid", "source.text: " },
      { { module = "reflections/says", text = "return {}" }, "denied", "source.module: reflections/says" },
      { { module = "agents/unused", text = "return {}" }, "invalid", "source.module: agents/unused" },
    } do
      asked(reflection.pipeline('approve = "auto", iterations = 1,' .. EXAMPLES), function() return { reason = "", source = case[1] } end)
      local one = place:candidates()[1]
      assert.same({ "refused", case[2] }, { one.state, one.code })
      assert.equal(case[3], one.why:sub(1, #case[3]))
      place:close()
    end
    place = nil
  end)
end)
