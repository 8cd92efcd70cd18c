local plans = dofile "spec/lua/weir/planning/support.lua"
local check = require "weir.planning.check"
local goal_of = require "weir.planning.goal"
local search = require "weir.planning.search"
local testing = require "weir.testing"

local agent = plans.agent
local rules = testing.module "planners/rules"

local function plan(goal, given, agents, fields)
  local of = goal_of.of(goal, given)
  local more = { tried = {} }
  for name, value in pairs(fields or {}) do more[name] = value end
  return rules.plan(testing.context(rules, more), of, agents)
end

local function steps_of(normal)
  local names = {}
  for _, group in ipairs(normal.groups) do
    for _, step in ipairs(group.steps) do names[#names + 1] = step.name end
  end
  return table.concat(names, " ")
end

describe("the search for a plan", function()
  it("chains agents by what they need and give", function()
    local made = plan({ want = "c" }, { a = 1 }, { agent("second", { b = "string" }, { c = "string" }), agent("first", { a = "integer" }, { b = "string" }) })
    assert.equal("first second", steps_of(made))
    assert.same({ b = "$.first.b" }, made.groups[2].steps[1].input)
    assert.same({ c = "$.second.c" }, made.output)
  end)

  it("finds the cheapest way", function()
    local agents = { agent("short", { a = "integer" }, { c = "string" }, 5), agent("one", { a = "integer" }, { b = "string" }, 1),
      agent("two", { b = "string" }, { c = "string" }, 1) }
    assert.equal("one two", steps_of(plan({ want = "c" }, { a = 1 }, agents)))
    agents[2].seconds = 100
    assert.equal("short", steps_of(plan({ want = "c" }, { a = 1 }, agents)))
  end)

  it("works on the things of a list one by one, and gathers what comes of them", function()
    local made = plan({ want = "stories" }, { city_list = { "Oslo", "Riga" } }, { agent("tell", { city = "string" }, { story = "string" }) })
    assert.same({ over = "$.input.city_list", concurrency = 4, each = { name = "tell", agent = "tell", input = { city = "$.item" } } },
      made.groups[1].steps[1].map)
    assert.same({ stories = "$.each_city[*].story" }, made.output)
  end)

  it("keeps together what belongs to one thing of a list", function()
    local made = plan({ want = "pages" }, { files = { "a" }, style = "plain" }, { agent("read", { file = "string" }, { text = "string", title = "string" }),
      agent("write", { text = "string", title = "string", style = "string" }, { page = "string" }) })
    local each = made.groups[1].steps[1].map.each
    assert.same({ style = "$.input.style", text = "$.read.text", title = "$.read.title" }, each.groups[2].steps[1].input)
    assert.same({ page = "$.write.page" }, each.output)
  end)

  it("gives an agent what it may have, when that is given", function()
    local agents = { agent("write", { text = "string", words = "integer?" }, { page = "string" }) }
    assert.is_nil(plan({ want = "page" }, { text = "x" }, agents).groups[1].steps[1].input.words)
    assert.equal("$.input.words", plan({ want = "page" }, { text = "x", words = 3 }, agents).groups[1].steps[1].input.words)
  end)

  it("is the same for the same goal and agents, in whatever order they come", function()
    local agents, first = {}, nil
    for index = 1, 20 do agents[index] = agent("a" .. index, { x = "string" }, { y = "string" }) end
    for _ = 1, 5 do
      table.insert(agents, 1, table.remove(agents))
      local made = steps_of(plan({ want = "y" }, { x = "x" }, agents))
      first = first or made
      assert.equal(first, made)
    end
  end)

  it("leaves out agents that failed", function()
    local agents = { agent("good", { a = "integer" }, { b = "string" }, 9), agent("bad", { a = "integer" }, { b = "string" }) }
    assert.equal("bad", steps_of(plan({ want = "b" }, { a = 1 }, agents)))
    assert.equal("good", steps_of(plan({ want = "b" }, { a = 1 }, agents, { tried = { { agent = "bad" } } })))
  end)

  it("proves that no plan exists, and says what is missing", function()
    local agents = { agent("write", { text = "string", style = "string" }, { page = "string" }), agent("read", { file = "string" }, { text = "string" }) }
    local made, message, code = plan({ want = "page" }, { file = "a" }, agents)
    assert.is_nil(made)
    assert.equal("not_found", code)
    assert.equal("no plan gives 'page': nothing gives 'style', which agent 'write' needs; give it as the step's input, "
      .. "or name an agent that gives it", message)
    assert.match("nothing gives 'cake', which is wanted", select(2, plan({ want = "cake" }, {}, agents)))
  end)

  it("says when what is there is of another kind", function()
    local _, message = plan({ want = "page" }, { text = 7, style = "x" }, { agent("write", { text = "string" }, { page = "string" }) })
    assert.match("'text' is there as integer, and does not fit what agent 'write' needs", message)
  end)

  it("says when agents wait for one another", function()
    local agents = { agent("a", { y = "string" }, { x = "string" }), agent("b", { x = "string" }, { y = "string" }) }
    assert.match("is given only by agents that need it first", select(2, plan({ want = "y" }, {}, agents)))
  end)

  it("has nothing to do when all is given", function()
    local _, message, code = plan({ want = "x" }, { x = 1 }, { agent("a", { x = "integer" }, { x = "integer" }) })
    assert.same({ "all that is wanted is given already, so there is nothing to plan", "invalid" }, { message, code })
  end)

  it("makes plans that can be carried out, of random agents", function()
    local seed = 7
    local function draw(n)
      seed = (seed * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
      return seed // 65536 % n + 1
    end
    local found = 0
    for round = 1, 60 do
      local agents = {}
      for index = 1, 25 do
        local needs, gives = {}, {}
        for _ = 1, draw(2) do needs["t" .. draw(12)] = "string" end
        gives["t" .. draw(12)] = "string"
        if draw(4) == 1 then gives["t" .. draw(12) .. "s"] = "string[]" end
        agents[index] = agent(("a%d"):format(index), needs, gives, draw(9))
      end
      local goal = goal_of.of({ want = { ["t" .. draw(12)] = "string" } }, { t1 = "x", t2s = { "y" } })
      local made, message, code = rules.plan(testing.context(rules, { tried = {} }), goal, agents)
      if made then
        found = found + 1
        local checked, problems = check.check(made, goal, plans.by_name(agents), { name = "p" })
        assert.is_table(checked, round .. ": " .. table.concat(problems or {}, "; "))
      else
        assert.is_true(code == "not_found" or code == "invalid", message)
      end
    end
    assert.is_true(found > 15, tostring(found))
  end)
end)

describe("names of lists", function()
  it("say what they hold", function()
    for list, item in pairs { csv_files = "csv_file", stories = "story", city_list = "city", tables = "table" } do
      assert.equal(item, search.singular(list))
    end
    for _, name in ipairs { "glass", "table", "s" } do assert.is_nil(search.singular(name)) end
    for item, list in pairs { story = "stories", day = "days", table_page = "table_pages" } do assert.equal(list, search.plural(item)) end
  end)
end)
