local arrange = require "weir.planning.arrange"
local goal_of = require "weir.planning.goal"
local json = require "weir.native.json"
local memory = require "weir.planning.memory"
local patches = require "weir.planning.patch"
local store_port = require "weir.port.store"
local types = require "weir.planning.types"
local value_of = require "weir.value"

describe("types", function()
  local function object(of) return types.object(of) end

  it("are those of values", function()
    assert.same({ type = "array", items = { type = "string" } }, types.of_value(json.list { "a", "b" }))
    assert.same({ type = "array" }, types.of_value(json.list { "a", 1 }))
    assert.same({ type = "integer" }, types.of_value(3))
  end)

  it("fit where every value that is given may be taken", function()
    local fits = { { { type = "integer" }, { type = "number" } }, { {}, { type = "string" } }, { { type = "string" }, {} },
      { { type = "string", const = "a" }, { enum = json.list { "a", "b" } } }, { object { a = "string", b = "integer" }, object { a = "string" } },
      { { type = "array" }, { type = "array", items = { type = "string" } } } }
    for index, pair in ipairs(fits) do assert.is_true(types.fits(pair[1], pair[2]), index) end
    local others = { { { type = "number" }, { type = "integer" } }, { { type = json.list { "string", "null" } }, { type = "string" } },
      { { type = "string", const = "c" }, { enum = json.list { "a", "b" } } }, { object { b = "integer" }, object { a = "string" } },
      { { type = "array", items = { type = "integer" } }, { type = "array", items = { type = "string" } } },
      { object { a = "integer" }, object { a = "string" } } }
    for index, pair in ipairs(others) do assert.is_false(types.fits(pair[1], pair[2]), index) end
  end)

  it("are found along paths", function()
    local env = { read = object { rows = "string[]", table = "object" }, input = object { n = "integer" } }
    local function shown(value)
      local of, message = types.of_written(value, env)
      return of and types.show(of) or message
    end
    assert.equal("list of string", shown "$.read.rows")
    assert.equal("string", shown "$.read.rows[0]")
    assert.equal("list of string", shown "$.read.rows[*]")
    assert.equal("anything", shown "$.read.table.name")
    assert.equal("string", shown "n is ${input.n}")
    assert.equal("object", shown { a = "$.input.n" })
    assert.match("'input' has no 'm'", shown "$.input.m")
    assert.match("'input' is no list", shown "$.input.n[0]")
  end)
end)

describe("steps in any order", function()
  local function names(groups)
    local list = {}
    for index, group in ipairs(groups) do
      local inner = {}
      for at, step in ipairs(group.steps) do inner[at] = step.name end
      list[index] = table.concat(inner, "+")
    end
    return table.concat(list, " ")
  end

  it("stand behind those that they read from, side by side where they may: a dependency graph", function()
    local groups = arrange.groups {
      { name = "last", agent = "x", input = { a = "$.left.v", b = "text ${right.v}" } }, { name = "left", agent = "x", input = { a = "$.first.v" } },
      { name = "right", map = { over = "$.input.list", each = { name = "one", agent = "x", input = { a = "$.item", b = "$.first.v" } } } },
      { name = "first", agent = "x" } }
    assert.equal("first left+right last", names(groups))
    assert.equal("part_2", groups[2].name)
  end)

  it("are refused when they wait for one another: cycle check", function()
    local groups, message = arrange.groups { { name = "a", input = { x = "$.c.v" } }, { name = "b", input = { x = "$.a.v" } },
      { name = "c", input = { x = "$.b.v" } }, { name = "d", input = { x = "$.a.v" } } }
    assert.is_nil(groups)
    assert.equal("the steps wait for one another in a circle: a <- c <- b <- a", message)
    assert.match("two steps are called 'a'", select(2, arrange.groups { { name = "a" }, { name = "a" } }))
  end)
end)

describe("goals", function()
  it("are written as a text, or with what is wanted", function()
    assert.same({ "go", {} }, { goal_of.of("go", {}).text, goal_of.of("go", {}).want })
    assert.same({ a = {}, b = {} }, goal_of.of({ want = { "a", "b" } }, {}).want)
    assert.same({ type = "string" }, goal_of.of({ want = { a = "string" } }, {}).want.a)
  end)

  it("have the same signature for the same kinds of things, and the same subject only for the same things", function()
    local a, b = goal_of.of({ want = "x" }, { n = 1 }), goal_of.of({ want = "x" }, { n = 2 })
    assert.equal(a.signature, b.signature)
    assert.is_not.equal(a.subject, b.subject)
    assert.is_not.equal(a.signature, goal_of.of({ want = "x" }, { n = "1" }).signature)
  end)

  it("are refused when nobody could read them", function()
    for _, wrong in ipairs { 7, {}, { wish = "x" }, { want = { 7 } }, { want = { a = "strnig" } }, { text = 7 }, "" } do
      local ok, err = pcall(goal_of.of, wrong, {})
      assert.is_false(ok)
      assert.equal("invalid", err.code)
    end
  end)
end)

describe("goals that were kept", function()
  local DAY_MS = 86400000
  local store
  before_each(function()
    store = assert(store_port.open ":memory:")
    for n = 1, 30 do memory.put(store, ("g_%02d"):format(n), { at_ms = n * DAY_MS }) end
  end)
  after_each(function() store:close() end)

  -- As a store gives rows of which some cannot be read: only to who wants to know of such.
  local function with_damage(is_damaged)
    return { scan = function(_, space, query)
      local rows = store:scan(space, query)
      for _, row in ipairs(rows) do
        if is_damaged(row.key) and not query.damaged then return nil, "a row is damaged", "corrupt" end
        if is_damaged(row.key) then row.damaged, row.value = true, nil end
      end
      return rows
    end }
  end

  local function evicted(from, days)
    local keys = {}
    for index, operation in ipairs(memory.eviction(from, days * DAY_MS)) do keys[index] = operation.key end
    return keys
  end

  it("leave the store when their time is over, the oldest first, a few at a time", function()
    assert.same({}, evicted(store, 91))
    assert.same({ "g_01", "g_02" }, evicted(store, 93))
    assert.equal(20, #evicted(store, 200))
  end)

  it("stay when they are damaged, and hold up none of the others", function()
    assert.same({ "g_02" }, evicted(with_damage(function(key) return key == "g_01" end), 93))
    local last = evicted(with_damage(function(key) return key <= "g_25" end), 200)
    assert.same({ "g_26", "g_27", "g_28", "g_29", "g_30" }, last)
  end)
end)

describe("patches", function()
  local A = { name = "p", groups = json.list { { name = "a", steps = json.list { { agent = "x" } } }, { name = "b" }, { name = "c" } } }

  local function check(b)
    local patch = patches.diff(A, b)
    local got = patches.apply(A, patch)
    assert.is_true(value_of.equal(b, got), json.encode(patch))
    return patch
  end

  it("make one value of another", function()
    local b = value_of.copy(A)
    b.groups[1].steps[1].agent = "y"
    assert.same({ { op = "replace", path = "/groups/0/steps/0/agent", value = "y" } }, { table.unpack(check(b)) })
    table.insert(b.groups, 2, { name = "between", ["odd/~name"] = 1 })
    check(b)
    b.groups[2], b.name = nil, nil
    b.groups = json.list { b.groups[1] }
    check(b)
    check(json.list {})
    check(7)
    assert.same({}, { table.unpack(check(value_of.copy(A))) })
  end)

  it("make what random changes made", function()
    local seed = 11
    local function draw(n)
      seed = (seed * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
      return seed // 65536 % n + 1
    end
    local function random(depth)
      local kind = depth > 0 and draw(4) or 3
      if kind > 2 then return ({ 1, "x", true, json.null })[draw(4)] end
      local value = {}
      for index = 1, draw(4) do value[kind == 1 and index or ("k" .. draw(4))] = random(depth - 1) end
      return kind == 1 and json.list(value) or value
    end
    for _ = 1, 300 do
      local a, b = random(3), random(3)
      local got, message = patches.apply(a, patches.diff(a, b))
      assert.is_true(value_of.equal(b, got), message or json.encode { a, b, got })
    end
  end)

  it("are done whole or not at all", function()
    local got, message, code = patches.apply(A, { { op = "remove", path = "/name" }, { op = "replace", path = "/groups/9/name", value = 1 } })
    assert.same({ nil, "invalid" }, { got, code })
    assert.match("operation 2", message)
    assert.equal("p", A.name)
    for _, wrong in ipairs { { op = "move", path = "/name" }, { op = "add", path = "name", value = 1 }, { op = "remove", path = "" } } do
      assert.is_nil((patches.apply(A, { wrong })))
    end
  end)
end)
