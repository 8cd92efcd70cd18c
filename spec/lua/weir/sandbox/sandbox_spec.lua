local json = require "weir.json"
local sandbox = require "weir.sandbox"
local task = require "weir.task"

local function run(body, job)
  job = job or {}
  job.name, job.source = "work", ("return { execute = function(ctx, input) %s\nend }"):format(body)
  return sandbox.run(job)
end

describe("the sandbox", function()
  it("runs a function of a source with an input and gives its output", function()
    local result = assert(run("return { sum = input.a + input.b, half = input.a / 2 }", { input = { a = 2, b = 3 } }))
    assert.same({ sum = 5, half = 1.0 }, result.output)
    assert.equal("float", math.type(result.output.half))
  end)

  it("keeps lists, null and bytes as they are", function()
    local given = { list = json.list {}, null = json.null, bytes = "\xff\0\xfe" }
    local output = assert(run("return input", { input = given })).output
    assert.is_true(json.is_list(output.list))
    assert.equal(json.null, output.null)
    assert.equal(given.bytes, output.bytes)
  end)

  it("gives null where nothing came back", function()
    assert.equal(json.null, assert(run "").output)
  end)

  it("hands on what is printed, logged and emitted, in order", function()
    local heard = {}
    assert(run("print('a', 1) ctx:log('warn', 'b') ctx:emit { c = 1 } return 1", {
      on_log = function(level, text) heard[#heard + 1] = level .. " " .. text end,
      on_item = function(item) heard[#heard + 1] = item end }))
    assert.same({ "info a\t1", "warn b", { c = 1 } }, heard)
  end)

  it("says what its code says did not work out", function()
    local output, message, code = run "return nil, 'the table has no head', 'invalid'"
    assert.is_nil(output)
    assert.equal("the table has no head", message)
    assert.equal("invalid", code)
  end)

  it("says where its code raised", function()
    local _, message, code = run "local x = nil\nreturn x.y"
    assert.equal("failed", code)
    assert.match("^work%.lua:2: attempt to index a nil value", message)
  end)

  it("refuses a source that gives no table with that function", function()
    for source, words in pairs { ["return 1"] = "gives a number", ["return {}"] = "without the function 'execute'", [""] = "gives a nil" } do
      local _, message, code = sandbox.run { name = "work", source = source }
      assert.equal("invalid", code)
      assert.match(words, message, 1, true)
    end
  end)

  it("does what was granted in the host, for nobody else", function()
    local asked = {}
    local grants = { add = function(argument) asked[#asked + 1] = argument return argument + 1 end,
      fail = function() return nil, "no such thing", "not_found" end, raise = function() error "boom" end }
    local output = assert(run([[
      local _, message, code = ctx:fail()
      local _, raised, what = ctx:raise()
      return { sum = ctx:add(ctx:add(1)), message = message, code = code, raised = raised, what = what, other = ctx.remove == nil }]],
      { grants = grants })).output
    assert.same({ 1, 2 }, asked)
    assert.match("boom", output.raised, 1, true)
    output.raised = nil
    assert.same({ sum = 3, message = "no such thing", code = "not_found", what = "failed", other = true }, output)
  end)

  it("checks a source without calling it", function()
    assert.is_true(sandbox.check("while true do end", "work"))
    local _, message, code = sandbox.check("return +", "work")
    assert.equal("invalid", code)
    assert.match("^work%.lua:1: ", message)
  end)

  it("does the same each time: numbers are drawn alike, keys come in order", function()
    local body = [[
      local t, keys = {}, {}
      for i = 1, 50 do t["k" .. i * 7 % 50] = i end
      for key in pairs(t) do keys[#keys + 1] = key end
      return { keys = table.concat(keys, " "), numbers = { math.random(), math.random(1000) } }]]
    local first = assert(run(body)).output
    for _ = 1, 5 do assert.same(first, assert(run(body)).output) end
    assert.not_same(first.numbers, assert(run(body, { seed = 2 })).output.numbers)
  end)

  it("is gone when the task that uses it is cancelled", function()
    local began = task.waiter()
    local ok, err = task.within({}, function(scope)
      task.spawn(function() run("ctx:begun() while true do end", { grants = { begun = function() began:wake() return true end } }) end)
      began:wait()
      scope:cancel "enough"
    end)
    assert.is_false(ok)
    assert.equal("cancelled", err.code)
  end)

  it("holds nothing of one call for the next", function()
    assert(run "x = 1 string.format = nil table.sort = nil return true")
    assert.is_true(assert(run "return x == nil and string.format ~= nil and table.sort ~= nil").output)
  end)

  it("refuses a source that is too large before it starts anything", function()
    local _, message, code = sandbox.run { name = "work", source = ("-"):rep(sandbox.SOURCE_BYTES + 1) }
    assert.equal("limit", code)
    assert.match("262145 bytes", message, 1, true)
  end)

  it("refuses an input that is no plain data, or too large", function()
    assert.equal("invalid", select(3, run("return 1", { input = print })))
    assert.equal("limit", select(3, run("return 1", { input = ("x"):rep(2 << 20) })))
  end)
end)
