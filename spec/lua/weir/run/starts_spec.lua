local support = dofile "spec/lua/weir/run/support.lua"
local task = require "weir.task"
local upkeep = require "weir.upkeep"
local weir = require "weir"

local P, S, A = weir.pipeline, weir.step, weir.approval

describe("a start key", function()
  local world, count
  after_each(function() world:close() end)

  local function open(definition, options)
    count = 0
    world = support.world({ work = function(_, given)
      count = count + 1
      return given.n
    end }, options)
    world:life()
    return world:define(definition)
  end

  local simple = P "spec" { input = { n = "integer = 1" }, S "work" { agent = "work", input = { n = "$.input.n" } }, output = "$.work" }

  it("gives the first run and its output for the same input", function()
    local definition = open(simple)
    local first, is_new = world.engine:start(definition, { n = 3 }, { key = "order 7" })
    assert.is_true(is_new)
    assert.equal(3, first:wait().output)
    local second, again = world.engine:start(definition, { n = 3 }, { key = "order 7" })
    assert.is_false(again)
    assert.same({ first.id, 3, 1 }, { second.id, second.output, count })
  end)

  it("is text in UTF-8 without control characters", function()
    local definition = open(simple)
    for _, key in ipairs { "", "a\nb", "\255", "a\237\160\128", ("k"):rep(257) } do
      local ok, err = pcall(world.engine.start, world.engine, definition, {}, { key = key })
      assert.same({ false, "invalid" }, { ok, err.code })
    end
    assert.equal(0, count)
  end)

  it("holds over the restart of the process", function()
    local definition = open(simple)
    local first = world.engine:start(definition, {}, { key = "k" }):wait()
    world:life()
    assert.same({ first.id, 1 }, { world.engine:start(world:define(simple), { n = 1 }, { key = "k" }).id, count })
  end)

  it("is refused with another input or another pipeline, and nothing is started", function()
    local definition = open(simple)
    local first = world.engine:start(definition, { n = 3 }, { key = "k" }):wait()
    local other = world:define(P "other" { input = { n = "integer" }, S "work" { agent = "work", input = { n = 1 } } })
    for _, attempt in ipairs { { definition, { n = 4 } }, { other, { n = 3 } } } do
      local ok, err = pcall(world.engine.start, world.engine, attempt[1], attempt[2], { key = "k" })
      assert.is_false(ok)
      assert.same({ "conflict", first.id }, { err.code, err.run })
      assert.matches("the key 'k' started run " .. first.id, err.message)
    end
    assert.same({ 1, 1 }, { count, #world.store:runs {} })
  end)

  it("starts once when many ask at the same moment", function()
    for seed = 1, 20 do
      local definition = open(simple, { seed = seed })
      local ids, news = {}, 0
      assert(task.within({}, function()
        for index = 1, 8 do
          task.start({}, function()
            local run, is_new = world.engine:start(definition, { n = 2 }, { key = "k" })
            ids[index], news = run.id, news + (is_new and 1 or 0)
            assert.equal(2, run:wait().output)
          end)
        end
      end))
      for index = 2, 8 do assert.equal(ids[1], ids[index]) end
      assert.same({ 1, 1 }, { news, count })
      if seed < 20 then world:close() end
    end
  end)

  it("finds a run that waits, and who waits for it hears of its end", function()
    local definition = open(P "spec" { A "release" { title = "Go?" } })
    local first = world.engine:start(definition, {}, { key = "k" })
    first:await_left()
    local second = world.engine:start(definition, {}, { key = "k" })
    assert.same({ first.id, "waiting" }, { second.id, second.status })
  end)

  it("is refused where nothing is kept, and when it is none", function()
    local definition = open(P "spec" { durability = "none", S "work" { agent = "work", input = { n = 1 } } })
    local kept = world:define(simple)
    for _, case in ipairs { { definition, "k", "keeps nothing here" }, { kept, "", "1 to 256 bytes" }, { kept, ("k"):rep(257), "1 to 256" },
      { kept, "a\nb", "control characters" }, { kept, 7, "is a text" } } do
      local ok, err = pcall(world.engine.start, world.engine, case[1], {}, { key = case[2] })
      assert.is_false(ok)
      assert.equal("invalid", err.code)
      assert.matches(case[3], err.message, 1, true)
    end
    assert.equal(0, count)
  end)

  it("goes with its run when that is removed, and is free again", function()
    local definition = open(simple)
    local first = world.engine:start(definition, {}, { key = ("long "):rep(50) }):wait()
    upkeep.prune(world.engine, { older = 0, pause = 0 })
    local second, is_new = world.engine:start(definition, {}, { key = ("long "):rep(50) })
    assert.is_true(is_new)
    assert.not_equal(first.id, second.id)
    second:wait()
  end)

  it("is made again from the journal when its record is lost", function()
    local definition = open(simple)
    local first = world.engine:start(definition, {}, { key = "k" }):wait()
    assert(world.store:delete("starts", "k"))
    assert.equal(1, upkeep.rebuild(world.store).starts)
    assert.equal(first.id, (world.engine:start(definition, {}, { key = "k" })).id)
  end)

  it("that is refused leaves in the store what another run has begun with that counted on it", function()
    local first = open(simple)
    local second = world:define(P "spec" { doc = "another", S "work" { agent = "work", input = { n = 2 } } })
    local outcomes = {}
    assert(task.within({}, function()
      for index, given in ipairs { { first, "k" }, { second, "k" }, { second }, { first } } do -- whichever of two comes first
        task.start({}, function()
          local ok, err = pcall(world.engine.prepare, world.engine, given[1], {}, { key = given[2] })
          outcomes[index] = ok or err.code
        end)
      end
    end))
    local refused = outcomes[1] == "conflict" and 1 or 2
    assert.same({ "conflict", true, true, true }, { outcomes[refused], outcomes[3 - refused], outcomes[3], outcomes[4] })
    for _, definition in ipairs { first, second } do assert.is_table((world.store:get("definitions", definition.version))) end
    world:life()
    world:go_on()
    assert.equal(3, #world.store:runs { status = "finished" })
  end)
end)
