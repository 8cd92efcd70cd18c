local check = require "weir.definition.check"
local load_definition = require("weir.definition.load").load

local MODULES = {
  agent = {
    files = { options = { mode = { enum = { "read", "list" }, default = "read" } } }, summarize = { options = { words = "integer = 100" } },
    echo = {}, secretive = { options = { key = "string" }, defaults = { key = "k" } }, needy = { options = { key = "string" } },
  },
  critic = { rubric = { options = { min_words = "integer?" } } }, judge = { coverage = {} }, planner = { rules = {} }, policy = { fair = {} },
  supervisor = { doctor = {} }, reflection = { tune = {} }, model = { fast = {} }, watcher = { files = { options = { path = "string" } } },
  pipeline = { child = {} }, group = { ops = { "ada", "bob" } },
}

local function modules(kind, name)
  local known = MODULES[kind]
  if not known then return nil end
  if known[name] then return known[name] end
  local names = {}
  for other in pairs(known) do names[#names + 1] = other end
  return nil, names
end

local function errors_of(groups, top)
  local definition, errors = load_definition("p.yaml", { text = "name: p\n" .. (top or "") .. groups, modules = modules })
  assert.is_true(definition ~= nil or #errors > 0)
  return errors or {}
end

-- One error is expected, with this text, line, and suggestion.
local function refused(groups, what, line, meant, top)
  local errors = errors_of(groups, top)
  local lines = {}
  for index, entry in ipairs(errors) do lines[index] = check.format(entry) end
  local all = table.concat(lines, "\n")
  assert.equal(1, #errors, "errors of\n" .. groups .. "\n" .. all)
  assert.truthy(errors[1].message:find(what, 1, true), all)
  if line then assert.equal(line, errors[1].line, all) end
  assert.equal(meant, errors[1].did_you_mean, all)
  assert.equal("p.yaml", errors[1].file)
end

local function accepted(groups, top)
  local errors = errors_of(groups, top)
  assert.equal(0, #errors, errors[1] and check.format(errors[1]))
end

describe("checking names", function()
  it("refuses unknown modules of every kind", function()
    refused("groups:\n- {name: a, agent: sumarize}\n", "step 'a': agent 'sumarize' is unknown", 3, "summarize")
    refused("groups:\n- {name: a, agent: echo, critic: rubrik}\n", "critic 'rubrik' is unknown", 3, "rubric")
    refused("groups:\n- {name: a, speculate: {judge: covrage, branches: [{name: b, agent: echo}]}}\n", "judge 'covrage'", 3, "coverage")
    refused("groups:\n- {name: a, plan: {goal: x, planner: rule}}\n", "planner 'rule'", 3, "rules")
    refused("groups:\n- {name: a, plan: {goal: x, agents: [fils]}}\n", "agent 'fils'", 3, "files")
    refused("groups:\n- {name: a, pipeline: chld}\n", "pipeline 'chld'", 3, "child")
    refused("groups:\n- {name: a, agent: echo, undo: ecoh}\n", "agent 'ecoh'", 3, "echo")
    refused("groups:\n- {name: a, map: {over: $.input.x, each: {name: b, agent: ech}, reduce: echo}}\n", "step 'b': agent 'ech'", 3, "echo")
    refused("groups:\n- {name: a, map: {over: $.input.x, each: {name: b, agent: echo}, reduce: ech}}\n", "agent 'ech'", 3, "echo")
    refused("groups:\n- {name: a, map: {over: $.input.x, each: {name: b, agent: echo}, chunk: ech}}\n", "agent 'ech'", 3, "echo")
    refused("groups:\n- {name: a, agent: echo, model: fsat}\n", "model 'fsat'", 3, "fast")
    refused("groups:\n- {name: a, agent: echo, model: {policy: fare, candidates: [fast]}}\n", "policy 'fare'", 3, nil)
    refused("groups:\n- {name: a, agent: echo}\n", "supervisor 'docter'", 2, "doctor", "supervise: docter\n")
    refused("groups:\n- {name: a, agent: echo}\n", "reflection 'tuen'", 2, "tune", "reflect: {use: tuen, metric: $.output}\n")
    refused("groups:\n- {name: a, agent: echo}\n", "critic 'rubrik' is unknown", 2, "rubric", "reflect: {use: tune, metric: rubrik}\n")
    refused("groups:\n- {name: a, agent: echo}\n", "watcher 'filse'", 3, "files", "on:\n- filse: {path: x}\n")
    refused("groups:\n- {name: a, agent: echo}\n", "policy 'fiar'", 2, "fair", "queue: {policy: fiar}\n")
  end)

  it("refuses a reflection that measures nothing, protects nothing that is there, or has examples that do not fit", function()
    local groups = "groups:\n- {name: a, agent: echo}\n"
    refused(groups, "metric is missing", 2, nil, "reflect: tune\n")
    refused(groups, "metric: path '$.a' has to begin with $.output, $.input or $.usage", 2, nil, "reflect: {use: tune, metric: $.a}\n")
    refused(groups, "metric: ", 2, nil, "reflect: {use: tune, metric: '$.output['}\n")
    refused("groups:\n- {name: judged, agent: echo}\n", "protect: 'juged' is no step or group here", 2, "judged",
      "reflect: {use: tune, metric: $.output, protect: juged}\n")
    refused(groups, "examples: the pipeline does not take it", 3, nil,
      "input: {n: integer}\nreflect: {use: tune, metric: $.output, examples: [{n: x}]}\n")
    accepted(groups, "reflect: {use: tune, metric: $.output.score, protect: a, examples: [{n: 1}], limits: {usd: 1}}\n")
  end)

  it("refuses to reflect on a flow, which no patch can change", function()
    local loaded, errors = load_definition("p.lua", { text = 'return require("weir").flow "f" { reflect = { use = "tune", metric = "$.output" }, '
      .. "function() end }" })
    assert.is_nil(loaded)
    assert.matches("a flow is a program", errors[1].message)
  end)

  it("lets any critic judge and any judge criticise", function()
    accepted("groups:\n- {name: a, agent: echo, critic: coverage}\n- {name: b, speculate: {judge: rubric, branches: [{name: c, agent: echo}]}}\n")
  end)

  it("says nothing where the lookup cannot tell, or where there is none", function()
    accepted("groups:\n- {name: a, agent: echo, tools: [anything]}\n")
    assert.truthy(load_definition("p.yaml", { text = "name: p\ngroups:\n- {name: a, agent: nobody}\n" }))
  end)

  it("refuses options that the module does not declare", function()
    refused("groups:\n- {name: a, agent: files, options: {mod: read}}\n", "options.mod is unknown", 3, "mode")
    refused("groups:\n- {name: a, agent: summarize, options: {words: many}}\n", "options.words must be integer", 3)
    refused("groups:\n- {name: a, agent: echo, options: {x: 1}}\n", "options.x is unknown", 3)
    refused("groups:\n- {name: a, agent: needy}\n", "options.key is required (string)", 3)
    refused("groups:\n- name: a\n  agent: echo\n  critic: {use: rubric, options: {min_word: 3}}\n", "min_word is unknown", 5, "min_words")
    refused("groups:\n- {name: a, sleep: 3s, options: {x: 1}}\n", "options belong to an agent", 3)
    refused("groups:\n- {name: a, agent: echo}\n", "path is required", 3, nil, "on:\n- files: {}\n")
    accepted("groups:\n- {name: a, agent: secretive}\n")
  end)

  it("refuses names that are taken or reserved", function()
    refused("groups:\n- {name: g, steps: [{name: a, agent: echo}, {name: a, agent: files}]}\n", "the name 'a' is taken by another step", 3)
    refused("groups:\n- {name: a, agent: echo}\n- {name: a, agent: echo}\n", "the name 'a' is taken by another group", 4)
    refused("groups:\n- {name: a, agent: echo}\n- {name: g, steps: [{name: a, agent: echo}]}\n", "the name 'a' is taken by another step", 4)
    refused("groups:\n- {name: end, steps: [{name: a, agent: echo}]}\n", "'end' is where a branch ends", 3)
    refused("groups:\n- {name: a, map: {over: $.input.x, each: {name: a, agent: echo}}}\n", "taken by a step around it", 3)
    refused("groups:\n- {name: a, groups: [{name: b, agent: echo}]}\n- {name: b, agent: echo}\n", "taken by a step around it", 3)
    refused("groups:\n- {name: a, speculate: {branches: [{name: b, agent: echo}, {name: b, agent: files}]}}\n", "taken by another branch", 3)
    accepted("groups:\n- {name: each, map: {over: $.input.x, each: {name: each, groups: [{name: a, agent: echo}, {name: b, agent: echo}]}}}\n")
    refused("groups:\n- {name: each, map: {over: $.input.x, each: {name: each, agent: echo}}}\n", "taken by a step around it", 3)
    for _, name in ipairs { "input", "event", "run", "error", "workspace", "item", "index" } do
      refused(("groups:\n- {name: g, steps: [{name: %s, agent: echo}]}\n"):format(name), "a name that weir itself uses", 3)
    end
    accepted("groups:\n- {name: a, groups: [{name: x, agent: echo}]}\n- {name: b, groups: [{name: x, agent: echo}]}\n")
  end)
end)

describe("checking paths", function()
  it("lets a step see the groups before it, and nothing else", function()
    accepted("groups:\n- {name: a, agent: echo, input: $.input}\n- {name: b, agent: echo, input: {x: $.a.b, y: 'is ${a.c}', z: $.event.id}}\noutput: $.b\n")
    refused("groups:\n- {name: read, agent: echo}\n- {name: b, agent: echo, input: {x: $.raed.text}}\n", "x: path '$.raed.text' needs 'raed', which is no step here", 4, "read")
    refused("groups:\n- {name: g, steps: [{name: a, agent: echo}, {name: b, agent: echo, input: $.a}]}\n", "runs beside it", 3)
    refused("groups:\n- {name: a, agent: echo, input: $.b}\n- {name: b, agent: echo}\n", "does not run before it", 3)
    refused("groups:\n- {name: a, agent: echo, input: $.a}\n", "this step's own output", 3)
    refused("groups:\n- {name: a, agent: echo}\noutput: $.c\n", "output: path '$.c'", 4)
    refused("groups:\n- {name: a, agent: echo, input: $.item}\n", "'item'", 3)
  end)

  it("follows branches", function()
    accepted("groups:\n- {name: a, agent: echo, input: {x: $.b?, y: $.a?}}\n- {name: b, agent: echo, branch: {cases: {again: a}, default: end}}\n")
    refused("groups:\n- {name: a, agent: echo, branch: {cases: {x: c}, default: end}}\n- {name: b, agent: echo}\n- {name: c, agent: echo, input: $.b}\n",
      "does not run before it", 5)
    accepted("groups:\n- {name: a, agent: echo, branch: {default: c}}\n- {name: b, agent: echo}\n- {name: c, agent: echo, input: $.b?}\n")
  end)

  it("lets a branch without default go on to the next group", function()
    accepted("groups:\n- {name: a, agent: echo, branch: {cases: {x: c}}}\n- {name: b, agent: echo}\n- {name: c, agent: echo, input: $.b?}\n")
  end)

  it("knows what bodies see, and that only their output leaves them", function()
    accepted([[
groups:
- {name: list, agent: files}
- name: parts
  map:
    over: $.list.files
    until: $.index > 3
    each:
      name: each
      groups:
      - {name: text, agent: files, input: {path: $.item, n: $.index, all: $.list}}
      - {name: short, agent: summarize, input: $.text.text}
      output: $.short
- {name: done, agent: echo, input: $.parts}
]])
    refused("groups:\n- {name: m, map: {over: $.input.x, each: {name: b, agent: echo}}}\n- {name: c, agent: echo, input: $.b}\n", "is inside another step", 4)
    refused("groups:\n- {name: s, speculate: {branches: [{name: b, agent: echo}, {name: c, agent: echo, input: $.b}]}}\n", "runs beside it", 3)
    accepted("groups:\n- {name: s, groups: [{name: b, agent: echo}, {name: c, agent: echo, input: $.b}], output: $.c}\n")
  end)

  it("knows what is read after the step, and what before", function()
    accepted("groups:\n- {name: a, agent: echo, branch_label: $.a.kind, post: 'n/${a.id}', undo: {agent: echo, input: $.a}}\n")
    refused("groups:\n- {name: a, agent: echo, when: $.a.x}\n", "this step's own output", 3)
    refused("groups:\n- {name: a, agent: echo, approve_if: $.a.x}\n", "this step's own output", 3)
    accepted("groups:\n- {name: g, steps: [{name: a, agent: echo}], gate: {show: $.a}}\n")
    refused("groups:\n- {name: a, approval: {show: $.a}}\n", "this step's own output", 3)
  end)

  it("refuses what does not parse", function()
    refused("groups:\n- {name: a, agent: echo, when: $.input.x = 1}\n", "when: condition '$.input.x = 1', column 11", 3)
    refused("groups:\n- {name: a, agent: echo, input: {x: '${'}}\n", "has no '}'", 3)
    refused("groups:\n- {name: a, agent: echo, timeout: 1m1h}\n", "timeout: a duration", 3)
    refused("groups:\n- {name: a, agent: echo, timeout: soon}\n", "timeout must be a duration such as", 3)
    refused("groups:\n- {name: a, sleep: 1m1h}\n", "sleep: a duration", 3)
    refused("groups:\n- {name: a, agent: echo}\n", "retention", 2, nil, "retention: ever\n")
    refused("groups:\n- {name: a, agent: echo, retry: {backoff: 1m1h}}\n", "backoff", 3)
    refused("groups:\n- {name: a, approval: {form: {type: strng}}}\n", "form: schema at /type", 3)
    refused("groups:\n- {name: a, agent: echo}\n", "input: x: 'strng' is no type; did you mean 'string'?", 2, nil, "input: {x: strng}\n")
    refused("groups:\n- {name: a, agent: echo}\n", "input: schema at /properties/x/type", 2, nil, "input: {type: object, properties: {x: {type: strng}}}\n")
    refused("groups:\n- {name: a, wait: {event: x, match: $.}}\n", "match: condition", 3)
  end)
end)

describe("checking the course of a pipeline", function()
  it("refuses branches to nowhere", function()
    refused("groups:\n- {name: draft, agent: echo, branch: {cases: {x: drft}}}\n", "branch leads to 'drft', which is no group here", 3, "draft")
    refused("groups:\n- {name: a, agent: echo, branch: {default: b}}\n", "branch leads to 'b'", 3)
    refused("groups:\n- {name: a, agent: echo, branch: {failed: b}}\n", "branch leads to 'b'", 3)
    refused("groups:\n- {name: g, steps: [{name: count, agent: echo}], branch: {on: cuont}}\n", "branch.on: 'cuont' is no step", 3, "count")
    accepted("groups:\n- {name: a, agent: echo, branch: {cases: {x: a}, default: end, max_visits: 3}}\n")
  end)

  it("refuses streams from nowhere and in circles", function()
    refused("groups:\n- {name: g, steps: [{name: a, agent: echo}, {name: b, agent: echo, from: aa}]}\n", "from: 'aa' is no step of this group", 3, nil)
    refused("groups:\n- {name: g, steps: [{name: a, agent: echo, from: b}, {name: b, agent: echo, from: [a]}]}\n", "circle: a <- b <- a", 3)
    refused("groups:\n- {name: g, steps: [{name: a, agent: echo, from: a}]}\n", "circle: a <- a", 3)
  end)

  it("refuses joins that cannot come about", function()
    refused("groups:\n- {name: g, join: {at_least: 3}, steps: [{name: a, agent: echo}]}\n", "is 3, but the group has 1 step", 3)
    refused("groups:\n- {name: s, speculate: {join: {at_least: 3}, branches: [{name: a, agent: echo}]}}\n", "is 3, but there are 1 branches", 3)
    refused("groups:\n- {name: a, wait: {at_least: 3, of: [{signal: x}]}}\n", "is 3, but 'of' has only 1", 3)
    refused("groups:\n- {name: a, agent: echo, critic: {use: rubric, quorum: 2}}\n", "is 2, but there are 1 critics", 3)
    refused("groups:\n- {name: a, approval: {who: [ada], quorum: 2}}\n", "is 2, but 'who' names only 1", 3)
    refused("groups:\n- {name: a, approval: {who: [ada, ada], quorum: 2}}\n", "is 2, but 'who' names only 1", 3)
    refused("groups:\n- {name: a, approval: {who: [ops, ada], quorum: 3}}\n", "is 3, but 'who' names only 2", 3)
    accepted "groups:\n- {name: a, approval: {who: [ops, carol], quorum: 3}}\n"
    refused("groups:\n- {name: a, map: {over: $.input.x, concurrency: {min: 3, max: 2}, each: {name: b, agent: echo}}}\n", "min 3 above max 2", 3)
    refused("groups:\n- {name: g, join: some, steps: [{name: a, agent: echo}]}\n", "join must be all, any, first", 3)
  end)

  it("refuses triggers without a watcher or with two", function()
    refused("groups:\n- {name: a, agent: echo}\n", "this one has none", 3, nil, "on:\n- {name: x}\n")
    refused("groups:\n- {name: a, agent: echo}\n", "this one has feed and webhook", 3, nil, "on:\n- {feed: {url: x}, webhook: {}}\n")
    refused("groups:\n- {name: a, agent: echo}\n", "filter: condition", 3, nil, "on:\n- {feed: {url: x}, filter: $.event.}\n")
    refused("groups:\n- {name: a, agent: echo}\n", "needs 'a'", 3, nil, "on:\n- {feed: {url: x}, input: $.a}\n")
  end)

  it("refuses a pipeline without groups", function()
    refused("doc: x\n", "a pipeline needs groups of steps", 1)
  end)
end)

describe("checking the shape", function()
  it("tells unknown fields and what was meant, once", function()
    refused("groups:\n- {name: a, agent: echo, tiemout: 3}\n", "step 'a': tiemout is unknown", 3, "timeout")
    refused("groups:\n- {name: a, agnet: echo}\n", "step 'a': agnet is unknown", 3, "agent")
    refused("groups:\n- {name: a, agent: echo}\ngruops: 1\n", "gruops is unknown", 4, "groups")
    refused("groups:\n- {name: g, steps: [{name: a, agent: echo}], jion: all}\n", "group 'g': jion is unknown", 3, "join")
    refused("groups:\n- {name: a, agent: echo, retry: {atempts: 3}}\n", "retry.atempts is unknown", 3, "attempts")
  end)

  it("tells a step with two kinds, or none", function()
    refused("groups:\n- {name: a, agent: echo, sleep: 3}\n", "got agent and sleep", 3)
    refused("groups:\n- {name: g, steps: [{name: a}]}\n", "none of them is there", 3)
    refused("groups:\n- {name: g, steps: []}\n", "steps must have at least 1 item", 3)
  end)

  it("tells nothing more because of what is wrong already", function()
    refused("groups:\n- {name: a, agent: echo, input: $.b?}\n- {name: b, agent: echo, branch: {cases: {again: a}, max_visits: 0}}\n",
      "branch.max_visits must be at least 1", 4)
    refused("groups:\n- {name: a, agnet: echo, options: {x: 1}}\n- {name: b, agent: echo, input: $.a}\n", "agnet is unknown", 3, "agent")
    refused("groups:\n- {name: a, agent: echo, output: x}\n", "groups is required when 'output' is given", 3)
  end)

  it("tells wrong names, types and words", function()
    refused("groups:\n- {name: Read, agent: echo}\n", "name must be a name", 3)
    refused("groups:\n- {name: a, agent: echo, once: maybe}\n", "once must be boolean", 3)
    refused("groups:\n- {name: a, agent: echo, critic: {use: rubric, otherwise: fial}}\n", "must be one of escalate, fail, accept_best", 3, "fail")
    refused("groups:\n- {name: a, map: {over: $.input.x, tolerate: 5 %, each: {name: b, agent: echo}}}\n", "tolerate must be a number of failures", 3)
    refused("groups:\n- {name: a, agent: echo}\n", "weir must be 1", 2, nil, "weir: 2\n")
  end)

  it("tells errors of shape and of meaning together, in order of lines", function()
    local errors = errors_of("groups:\n- {name: a, agent: ecoh}\n- {name: b, agent: echo, tiemout: 3}\n- {name: c, agent: echo, input: $.d}\n")
    local lines = {}
    for index, entry in ipairs(errors) do lines[index] = entry.line end
    assert.same({ 3, 4, 5 }, lines)
  end)
end)

describe("an error as a line", function()
  it("has file, line, message and what was meant", function()
    assert.equal("pipelines/x.lua:12: step 'write': agent 'sumarize' is unknown; did you mean 'summarize'?", check.format {
      file = "pipelines/x.lua", line = 12, message = "step 'write': agent 'sumarize' is unknown", did_you_mean = "summarize",
    })
    assert.equal("no place", check.format { message = "no place" })
  end)
end)
