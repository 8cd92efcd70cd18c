-- For every field of the normal form one pair of Lua and YAML that say the same; and the pipelines of
-- the guide, which load, print, and read back equal.

local build = require "weir.definition.build"
local check = require "weir.definition.check"
local definition = require "weir.definition.load"
local form = require "weir.definition.form"
local json = require "weir.native.json"
local printer = require "weir.definition.print"
local testing = require "weir.testing"
local value_of = require "weir.value"

-- Whatever a pair names, so that the pairs can be run.
local AGENTS = {}
for name in ("combine counter writer tune x y"):gmatch "%S+" do AGENTS[name] = function(_, input) return { of = input } end end

local function told(errors)
  local lines = {}
  for index, entry in ipairs(errors or {}) do lines[index] = check.format(entry) end
  return table.concat(lines, "\n")
end

local function load_text(file, text)
  local loaded, errors = definition.load(file, { text = text })
  assert.truthy(loaded, told(errors) .. "\n" .. text)
  return loaded
end

-- A pair: fields of a step, a group or the pipeline, in Lua and in YAML. `extra` stands before the step.
local function lua_pipeline(where, lua)
  if where == "top" then return ('weir.pipeline "p" { %s, weir.step "a" { agent = "echo" } }'):format(lua) end
  if where == "group" then
    return ('weir.pipeline "p" { weir.group "g" { weir.step "a" { agent = "echo" }, weir.step "b" { agent = "echo" }, %s } }'):format(lua)
  end
  if where == "kind" then return ('weir.pipeline "p" { weir.step "x" { agent = "echo" }, %s }'):format(lua) end
  return ('weir.pipeline "p" { weir.step "x" { agent = "echo" }, weir.group "g" { weir.step "b" { agent = "echo" }, weir.step "a" { %s } } }')
    :format(lua)
end

local function indented(text, by)
  return (by .. text:gsub("\n", "\n" .. by))
end

local function yaml_pipeline(where, yaml)
  if where == "top" then return ("name: p\n%s\ngroups:\n- {name: a, agent: echo}\n"):format(yaml) end
  if where == "group" then
    return ("name: p\ngroups:\n- name: g\n  steps: [{name: a, agent: echo}, {name: b, agent: echo}]\n%s\n"):format(indented(yaml, "  "))
  end
  if where == "kind" then return ("name: p\ngroups:\n- {name: x, agent: echo}\n- %s\n"):format((indented(yaml, "  "):gsub("^  ", ""))) end
  return ("name: p\ngroups:\n- {name: x, agent: echo}\n- name: g\n  steps:\n  - {name: b, agent: echo}\n  - name: a\n%s\n")
    :format(indented(yaml, "    "))
end

-- {field as DEF.FIELD, where, Lua, YAML}
local PAIRS = {
  { "pipeline.weir", "top", "weir = 1", "weir: 1" },
  { "pipeline.name", "top", 'doc = "x"', "doc: x" },
  { "pipeline.doc", "top", 'doc = "what it does"', "doc: what it does" },
  { "pipeline.input", "top", 'input = { path = "string", words = "integer = 3" }', "input: {path: string, words: integer = 3}" },
  { "pipeline.on", "top", 'on = { files = { path = "docs" } }', "on:\n- files: {path: docs}" },
  { "pipeline.queue", "top", "queue = { limit = 5 }", "queue: {limit: 5}" },
  { "pipeline.budget", "top", "budget = { steps = 5 }", "budget: {steps: 5}" },
  { "pipeline.durability", "top", 'durability = "group"', "durability: group" },
  { "pipeline.upgrade", "top", 'upgrade = "pin"', "upgrade: pin" },
  { "pipeline.on_disconnect", "top", 'on_disconnect = "cancel"', "on_disconnect: cancel" },
  { "pipeline.retention", "top", 'retention = "30d"', "retention: 30d" },
  { "pipeline.supervise", "top", 'supervise = "doctor"', "supervise:\n- use: doctor" },
  { "pipeline.reflect", "top", 'reflect = { use = "tune", metric = "$.output" }', "reflect: {use: tune, metric: $.output}" },
  { "pipeline.groups", "top", 'doc = "x"', "doc: x" },
  { "pipeline.output", "top", 'output = { x = "$.a" }', "output: {x: $.a}" },
  { "trigger.input", "top", 'on = { { feed = { url = "u" }, input = "$.event.data" } }', "on: {feed: {url: u}, input: $.event.data}" },
  { "trigger.name", "top", 'on = { { feed = { url = "u" }, name = "n" } }', "on: {feed: {url: u}, name: n}" },
  { "trigger.filter", "top", 'on = { { feed = { url = "u" }, filter = "$.event.x" } }', "on: {feed: {url: u}, filter: $.event.x}" },
  { "trigger.key", "top", 'on = { { feed = { url = "u" }, key = "$.event.id" } }', "on: {feed: {url: u}, key: $.event.id}" },
  { "trigger.dedupe", "top", 'on = { { feed = { url = "u" }, dedupe = "1h" } }', "on: {feed: {url: u}, dedupe: 1h}" },
  { "trigger.debounce", "top", 'on = { { feed = { url = "u" }, debounce = 2 } }', "on: {feed: {url: u}, debounce: 2}" },
  { "trigger.throttle", "top", 'on = { { feed = { url = "u" }, throttle = "1s" } }', "on: {feed: {url: u}, throttle: 1s}" },
  { "trigger.batch", "top", 'on = { { feed = { url = "u" }, batch = 10 } }', "on: {feed: {url: u}, batch: 10}" },
  { "trigger.singleton", "top", 'on = { { feed = { url = "u" }, singleton = true } }', "on: {feed: {url: u}, singleton: true}" },
  { "trigger.concurrency", "top", 'on = { { feed = { url = "u" }, concurrency = 2 } }', "on: {feed: {url: u}, concurrency: 2}" },
  { "dedupe.key", "top", 'on = { { feed = { url = "u" }, dedupe = { key = "$.event.id" } } }', "on: {feed: {url: u}, dedupe: {key: $.event.id}}" },
  { "dedupe.for", "top", 'on = { { feed = { url = "u" }, dedupe = { key = "a", ["for"] = "1h" } } }', "on: {feed: {url: u}, dedupe: {key: a, for: 1h}}" },
  { "debounce.for", "top", 'on = { { feed = { url = "u" }, debounce = { ["for"] = 2 } } }', "on: {feed: {url: u}, debounce: {for: 2}}" },
  { "debounce.key", "top", 'on = { { feed = { url = "u" }, debounce = { ["for"] = 2, key = "a" } } }', "on: {feed: {url: u}, debounce: {for: 2, key: a}}" },
  { "debounce.max", "top", 'on = { { feed = { url = "u" }, debounce = { ["for"] = 2, max = 9 } } }', "on: {feed: {url: u}, debounce: {for: 2, max: 9}}" },
  { "throttle.limit", "top", 'on = { { feed = { url = "u" }, throttle = { limit = 3, per = "1s" } } }', "on: {feed: {url: u}, throttle: {limit: 3, per: 1s}}" },
  { "throttle.per", "top", 'on = { { feed = { url = "u" }, throttle = { per = "1s" } } }', "on: {feed: {url: u}, throttle: {per: 1s}}" },
  { "throttle.key", "top", 'on = { { feed = { url = "u" }, throttle = { per = 1, key = "a" } } }', "on: {feed: {url: u}, throttle: {per: 1, key: a}}" },
  { "throttle.otherwise", "top", 'on = { { feed = { url = "u" }, throttle = { per = 1, otherwise = "drop" } } }', "on: {feed: {url: u}, throttle: {per: 1, otherwise: drop}}" },
  { "batch.size", "top", 'on = { { feed = { url = "u" }, batch = { size = 3 } } }', "on: {feed: {url: u}, batch: {size: 3}}" },
  { "batch.for", "top", 'on = { { feed = { url = "u" }, batch = { size = 3, ["for"] = 2 } } }', "on: {feed: {url: u}, batch: {size: 3, for: 2}}" },
  { "batch.key", "top", 'on = { { feed = { url = "u" }, batch = { size = 3, key = "a" } } }', "on: {feed: {url: u}, batch: {size: 3, key: a}}" },
  { "queue.limit", "top", "queue = { limit = 1000 }", "queue: {limit: 1000}" },
  { "queue.concurrency", "top", "queue = { concurrency = 4 }", "queue: {concurrency: 4}" },
  { "queue.key", "top", 'queue = { key = "$.input.who" }', "queue: {key: $.input.who}" },
  { "queue.policy", "top", 'queue = { policy = "fair" }', "queue: {policy: {use: fair}}" },
  { "queue.priority", "top", "queue = { priority = 3 }", "queue: {priority: 3}" },
  { "queue.overflow", "top", 'queue = { overflow = "spill" }', "queue: {overflow: spill}" },
  { "budget.tokens", "top", "budget = { tokens = 100 }", "budget: {tokens: 100}" },
  { "budget.usd", "top", "budget = { usd = 0.5 }", "budget: {usd: 0.5}" },
  { "budget.seconds", "top", "budget = { seconds = 60 }", "budget: {seconds: 60}" },
  { "budget.steps", "top", "budget = { steps = 9 }", "budget: {steps: 9}" },
  { "budget.otherwise", "top", 'budget = { otherwise = "ask" }', "budget: {otherwise: ask}" },
  { "use.use", "top", 'supervise = { { use = "doctor" } }', "supervise: doctor" },
  { "use.options", "top", 'supervise = { { use = "doctor", options = { x = 1 } } }', "supervise: {use: doctor, options: {x: 1}}" },
  { "reflect.use", "top", 'reflect = { use = "tune", metric = "$.output" }', "reflect: {use: tune, metric: $.output}" },
  { "reflect.options", "top", 'reflect = { use = "tune", metric = "$.output", options = { x = 1 } }', "reflect: {use: tune, metric: $.output, options: {x: 1}}" },
  { "reflect.metric", "top", 'reflect = { use = "tune", metric = "rubric" }', "reflect: {use: tune, metric: {use: rubric}}" },
  { "reflect.better", "top", 'reflect = { use = "tune", metric = "$.output", better = "lower" }', "reflect: {use: tune, metric: $.output, better: lower}" },
  { "reflect.iterations", "top", 'reflect = { use = "tune", metric = "$.output", iterations = 3 }', "reflect: {use: tune, metric: $.output, iterations: 3}" },
  { "reflect.patience", "top", 'reflect = { use = "tune", metric = "$.output", patience = 2 }', "reflect: {use: tune, metric: $.output, patience: 2}" },
  { "reflect.margin", "top", 'reflect = { use = "tune", metric = "$.output", margin = 0.05 }', "reflect: {use: tune, metric: $.output, margin: 0.05}" },
  { "reflect.holdout", "top", 'reflect = { use = "tune", metric = "$.output", holdout = 0.5 }', "reflect: {use: tune, metric: $.output, holdout: 0.5}" },
  { "reflect.examples", "top", 'reflect = { use = "tune", metric = "$.output", examples = { x = 1 } }', "reflect: {use: tune, metric: $.output, examples: [{x: 1}]}" },
  { "reflect.recorded", "top", 'reflect = { use = "tune", metric = "$.output", recorded = 4 }', "reflect: {use: tune, metric: $.output, recorded: 4}" },
  { "reflect.approve", "top", 'reflect = { use = "tune", metric = "$.output", approve = "human" }', "reflect: {use: tune, metric: $.output, approve: human}" },
  { "reflect.who", "top", 'reflect = { use = "tune", metric = "$.output", who = "ada" }', "reflect: {use: tune, metric: $.output, who: [ada]}" },
  { "reflect.protect", "top", 'reflect = { use = "tune", metric = "$.output", protect = "a" }', "reflect: {use: tune, metric: $.output, protect: [a]}" },
  { "reflect.limits", "top", 'reflect = { use = "tune", metric = "$.output", limits = { usd = 0.5 } }', "reflect: {use: tune, metric: $.output, limits: {usd: 0.5}}" },
  { "reflect_limits.usd", "top", 'reflect = { use = "tune", metric = "$.output", limits = { usd = 0.5 } }', "reflect: {use: tune, metric: $.output, limits: {usd: 0.5}}" },
  { "reflect_limits.tokens", "top", 'reflect = { use = "tune", metric = "$.output", limits = { tokens = 1000 } }', "reflect: {use: tune, metric: $.output, limits: {tokens: 1000}}" },
  { "reflect_limits.seconds", "top", 'reflect = { use = "tune", metric = "$.output", limits = { seconds = 60 } }', "reflect: {use: tune, metric: $.output, limits: {seconds: 60}}" },
  { "reflect_limits.steps", "top", 'reflect = { use = "tune", metric = "$.output", limits = { steps = 100 } }', "reflect: {use: tune, metric: $.output, limits: {steps: 100}}" },
  { "reflect_limits.changes", "top", 'reflect = { use = "tune", metric = "$.output", limits = { changes = 4 } }', "reflect: {use: tune, metric: $.output, limits: {changes: 4}}" },
  { "reflect_limits.bytes", "top", 'reflect = { use = "tune", metric = "$.output", limits = { bytes = 512 } }', "reflect: {use: tune, metric: $.output, limits: {bytes: 512}}" },
  { "group.name", "group", "fail_fast = true", "fail_fast: true" },
  { "group.steps", "group", "fail_fast = true", "fail_fast: true" },
  { "group.join", "group", 'join = "any"', "join: any" },
  { "group.fail_fast", "group", "fail_fast = true", "fail_fast: true" },
  { "group.branch", "group", 'branch = { on = "a" }', "branch: {on: a}" },
  { "group.gate", "group", 'gate = { title = "ok?" }', "gate: {title: ok?}" },
  { "at_least.at_least", "group", "join = { at_least = 1 }", "join: {at_least: 1}" },
  { "by_deadline.deadline", "group", 'join = { deadline = "30s" }', "join: {deadline: 30s}" },
  { "branch.on", "group", 'branch = { on = "b" }', "branch: {on: b}" },
  { "branch.cases", "group", 'branch = { cases = { x = "g", y = "end" } }', "branch: {cases: {x: g, y: end}}" },
  { "branch.default", "group", 'branch = { default = "end" }', "branch: {default: end}" },
  { "branch.failed", "group", 'branch = { failed = "g" }', "branch: {failed: g}" },
  { "branch.max_visits", "group", "branch = { max_visits = 4 }", "branch: {max_visits: 4}" },
  { "gate.timeout", "group", 'gate = { timeout = "1d" }', "gate: {timeout: 1d}" },
  { "step.name", "step", 'agent = "echo"', "agent: echo" },
  { "step.agent", "step", 'agent = { use = "echo", options = { x = 1 } }', "agent: echo\noptions: {x: 1}" },
  { "step.options", "step", 'agent = "echo", options = { list = {1, 2} }', "agent: {use: echo, options: {list: [1, 2]}}" },
  { "step.pipeline", "step", 'pipeline = "other-one"', "pipeline: other-one" },
  { "step.sleep", "step", 'sleep = "2h"', "sleep: 2h" },
  { "until_time.until", "step", 'sleep = { ["until"] = "2026-12-01T00:00:00Z" }', "sleep: {until: \"2026-12-01T00:00:00Z\"}" },
  { "step.input", "step", 'agent = "echo", input = { a = "$.x", b = { 1, weir.null } }', "agent: echo\ninput: {a: $.x, b: [1, null]}" },
  { "step.when", "step", 'agent = "echo", when = "$.x.y > 1"', "agent: echo\nwhen: $.x.y > 1" },
  { "step.retry", "step", 'agent = "echo", retry = { attempts = 3 }', "agent: echo\nretry: {attempts: 3}" },
  { "retry.attempts", "step", 'agent = "echo", retry = { attempts = 2 }', "agent: echo\nretry: {attempts: 2}" },
  { "retry.backoff", "step", 'agent = "echo", retry = { backoff = 0.5 }', "agent: echo\nretry: {backoff: 0.5}" },
  { "retry.factor", "step", 'agent = "echo", retry = { factor = 3 }', "agent: echo\nretry: {factor: 3}" },
  { "retry.max", "step", 'agent = "echo", retry = { max = "1m" }', "agent: echo\nretry: {max: 1m}" },
  { "retry.jitter", "step", 'agent = "echo", retry = { jitter = 0.1 }', "agent: echo\nretry: {jitter: 0.1}" },
  { "retry.on", "step", 'agent = "echo", retry = { on = "timeout" }', "agent: echo\nretry: {on: [timeout]}" },
  { "retry.not_on", "step", 'agent = "echo", retry = { not_on = { "denied" } }', "agent: echo\nretry: {not_on: denied}" },
  { "step.timeout", "step", 'agent = "echo", timeout = "2m"', "agent: echo\ntimeout: 2m" },
  { "step.idle_timeout", "step", 'agent = "echo", idle_timeout = 5', "agent: echo\nidle_timeout: 5" },
  { "step.deadline", "step", 'agent = "echo", deadline = "1h30m"', "agent: echo\ndeadline: 1h30m" },
  { "step.critic", "step", 'agent = "echo", critic = "rubric"', "agent: echo\ncritic: {use: [{use: rubric}]}" },
  { "step.budget", "step", 'agent = "echo", budget = { tokens = 9 }', "agent: echo\nbudget: {tokens: 9}" },
  { "step.priority", "step", 'agent = "echo", priority = "low"', "agent: echo\npriority: low" },
  { "step_budget.tokens", "step", 'agent = "echo", budget = { tokens = 90 }', "agent: echo\nbudget: {tokens: 90}" },
  { "step_budget.usd", "step", 'agent = "echo", budget = { usd = 0.5 }', "agent: echo\nbudget: {usd: 0.5}" },
  { "critic.use", "step", 'agent = "echo", critic = { use = { "rubric", "agreement" } }', "agent: echo\ncritic: [rubric, agreement]" },
  { "critic.quorum", "step", 'agent = "echo", critic = { use = "rubric", quorum = 1 }', "agent: echo\ncritic: {use: rubric, quorum: 1}" },
  { "critic.attempts", "step", 'agent = "echo", critic = { use = "rubric", options = { x = 1 }, attempts = 2 }',
    "agent: echo\ncritic: {use: [{use: rubric, options: {x: 1}}], attempts: 2}" },
  { "critic.otherwise", "step", 'agent = "echo", critic = { use = "rubric", otherwise = "fail" }', "agent: echo\ncritic: {use: rubric, otherwise: fail}" },
  { "critic.budget", "step", 'agent = "echo", critic = { use = "rubric", budget = 4 }', "agent: echo\ncritic: {use: rubric, budget: 4}" },
  { "critic.disagreement", "step", 'agent = "echo", critic = { use = "rubric", quorum = 1, disagreement = 0.5 }', "agent: echo\ncritic: {use: rubric, quorum: 1, disagreement: 0.5}" },
  { "critic.ask", "step", 'agent = "echo", critic = { use = "rubric", ask = { who = "ada" } }', "agent: echo\ncritic: {use: rubric, ask: {who: ada}}" },
  { "critic_ask.who", "step", 'agent = "echo", critic = { use = "rubric", ask = { who = { "ada", "bob" } } }', "agent: echo\ncritic: {use: rubric, ask: {who: [ada, bob]}}" },
  { "critic_ask.not_initiator", "step", 'agent = "echo", critic = { use = "rubric", ask = { not_initiator = true } }', "agent: echo\ncritic: {use: rubric, ask: {not_initiator: true}}" },
  { "critic_ask.quorum", "step", 'agent = "echo", critic = { use = "rubric", ask = { quorum = 2 } }', "agent: echo\ncritic: {use: rubric, ask: {quorum: 2}}" },
  { "critic_ask.timeout", "step", 'agent = "echo", critic = { use = "rubric", ask = { timeout = "1h" } }', "agent: echo\ncritic: {use: rubric, ask: {timeout: 1h}}" },
  { "critic_ask.on_timeout", "step", 'agent = "echo", critic = { use = "rubric", ask = { on_timeout = "approve" } }', "agent: echo\ncritic: {use: rubric, ask: {on_timeout: approve}}" },
  { "live.every", "step", 'agent = "echo", critic = { use = "rubric", live = { every = 40 } }', "agent: echo\ncritic: {use: rubric, live: {every: 40}}" },
  { "live.expect", "step", 'agent = "echo", critic = { use = "rubric", live = { expect = 400 } }', "agent: echo\ncritic: {use: rubric, live: {expect: 400}}" },
  { "critic_use.use", "step", 'agent = "echo", critic = { use = { { use = "rubric", options = {} } }, quorum = 1 }', "agent: echo\ncritic: {use: [{use: rubric, options: {}}], quorum: 1}" },
  { "critic_use.options", "step", 'agent = "echo", critic = { use = { { use = "rubric", options = { min_words = 3 } } }, quorum = 1 }', "agent: echo\ncritic: {use: [{use: rubric, options: {min_words: 3}}], quorum: 1}" },
  { "critic_use.weight", "step", 'agent = "echo", critic = { use = { { use = "rubric", weight = 2 } }, quorum = 1 }', "agent: echo\ncritic: {use: [{use: rubric, weight: 2}], quorum: 1}" },
  { "critic_use.model", "step", 'agent = "echo", critic = { use = { { use = "rubric", model = "local/textrank" } } }', "agent: echo\ncritic: {use: {use: rubric, model: local/textrank}}" },
  { "critic_use.veto", "step", 'agent = "echo", critic = { use = { { use = "rubric", veto = true } }, quorum = 1 }', "agent: echo\ncritic: {use: [{use: rubric, veto: true}], quorum: 1}" },
  { "critic.live", "step", 'agent = "echo", critic = { use = "rubric", live = true }', "agent: echo\ncritic: {use: rubric, live: true}" },
  { "step.branch_label", "step", 'agent = "echo", branch_label = "$.a.kind"', "agent: echo\nbranch_label: $.a.kind" },
  { "step.optional", "step", 'agent = "echo", optional = true', "agent: echo\noptional: true" },
  { "step.once", "step", 'agent = "echo", once = true', "agent: echo\nonce: true" },
  { "step.undo", "step", 'agent = "echo", undo = "echo"', "agent: echo\nundo: {agent: echo}" },
  { "undo.agent", "step", 'agent = "echo", undo = { agent = "echo" }', "agent: echo\nundo: echo" },
  { "undo.options", "step", 'agent = "echo", undo = { agent = "echo", options = { x = 1 } }', "agent: echo\nundo: {use: echo, options: {x: 1}}" },
  { "undo.input", "step", 'agent = "echo", undo = { agent = "echo", input = "$.a" }', "agent: echo\nundo: {agent: echo, input: $.a}" },
  { "step.model", "step", 'agent = "echo", model = "fast"', "agent: echo\nmodel: fast" },
  { "model.policy", "step", 'agent = "echo", model = { policy = "bandit" }', "agent: echo\nmodel: {policy: {use: bandit}}" },
  { "model.options", "step", 'agent = "echo", model = { policy = "bandit", options = { x = 1 } }', "agent: echo\nmodel: {policy: {use: bandit, options: {x: 1}}}" },
  { "model.candidates", "step", 'agent = "echo", model = { candidates = "fast" }', "agent: echo\nmodel: {candidates: [fast]}" },
  { "model.needs", "step", 'agent = "echo", model = { needs = { "tools" } }', "agent: echo\nmodel: {needs: tools}" },
  { "step.tools", "step", 'agent = "echo", tools = "files"', "agent: echo\ntools: [files]" },
  { "tool.use", "step", 'agent = "echo", tools = { use = "files" }', "agent: echo\ntools: [{use: files}]" },
  { "tool.name", "step", 'agent = "echo", tools = { use = "files", name = "read" }', "agent: echo\ntools: {use: files, name: read}" },
  { "tool.options", "step", 'agent = "echo", tools = { use = "files", options = { mode = "read" } }', "agent: echo\ntools: {use: files, options: {mode: read}}" },
  { "tool.approve_if", "step", 'agent = "echo", tools = { use = "files", approve_if = "$.x > 1" }', "agent: echo\ntools: {use: files, approve_if: $.x > 1}" },
  { "tool.sticky", "step", 'agent = "echo", tools = { use = "files", sticky = true }', "agent: echo\ntools: {use: files, sticky: true}" },
  { "tool.has_consequences", "step", 'agent = "echo", tools = { use = "files", has_consequences = true }', "agent: echo\ntools: {use: files, has_consequences: true}" },
  { "tool.is_trusted", "step", 'agent = "echo", tools = { use = "files", is_trusted = true }', "agent: echo\ntools: {use: files, is_trusted: true}" },
  { "tool.description", "step", 'agent = "echo", tools = { use = "files", description = "reads" }', "agent: echo\ntools: {use: files, description: reads}" },
  { "step.stream", "step", 'agent = "echo", stream = true', "agent: echo\nstream: true" },
  { "stream.buffer", "step", 'agent = "echo", stream = { buffer = 64 }', "agent: echo\nstream: {buffer: 64}" },
  { "stream.on_full", "step", 'agent = "echo", stream = { on_full = "spill" }', "agent: echo\nstream: {on_full: spill}" },
  { "stream.rate", "step", 'agent = "echo", stream = { rate = 2.5 }', "agent: echo\nstream: {rate: 2.5}" },
  { "step.from", "step", 'agent = "echo", from = "b"', "agent: echo\nfrom: [b]" },
  { "from.steps", "step", 'agent = "echo", from = { steps = "b" }', "agent: echo\nfrom: {steps: [b]}" },
  { "from.merge", "step", 'agent = "echo", from = { steps = { "b" }, merge = "zip" }', "agent: echo\nfrom: {steps: b, merge: zip}" },
  { "step.approve_if", "step", 'agent = "echo", approve_if = "$.x.usd > 5"', "agent: echo\napprove_if: $.x.usd > 5" },
  { "step.post", "step", 'agent = "echo", post = "notes"', "agent: echo\npost: notes" },
  { "post.name", "step", 'agent = "echo", post = { name = "n/${a.id}" }', "agent: echo\npost: {name: \"n/${a.id}\"}" },
  { "post.type", "step", 'agent = "echo", post = { name = "n", type = "note" }', "agent: echo\npost: {name: \"n\", type: note}" },
  { "post.tags", "step", 'agent = "echo", post = { name = "n", tags = "x" }', "agent: echo\npost: {name: \"n\", tags: [x]}" },
  { "post.scope", "step", 'agent = "echo", post = { name = "n", scope = "run" }', "agent: echo\npost: {name: \"n\", scope: run}" },
  { "post.merge", "step", 'agent = "echo", post = { name = "n", merge = "append" }', "agent: echo\npost: {name: \"n\", merge: append}" },
  { "post.arbiter", "step", 'agent = "echo", post = { name = "n", merge = "text", arbiter = "echo" }', "agent: echo\npost: {name: \"n\", merge: text, arbiter: echo}" },
  { "step.cache", "step", 'agent = "echo", cache = "1d"', "agent: echo\ncache: 1d" },
  { "step.groups", "kind", 'weir.step "a" { weir.step "c" { agent = "echo" } }', "name: a\ngroups: [{name: c, agent: echo}]" },
  { "step.output", "kind", 'weir.step "a" { weir.step "c" { agent = "echo" }, output = "$.c" }', "name: a\noutput: $.c\ngroups: [{name: c, agent: echo}]" },
  { "step.approval", "kind", 'weir.approval "a" { title = "t" }', "name: a\napproval: {title: t}" },
  { "approval.title", "kind", 'weir.approval "a" { title = "is ${x.y} right?" }', "name: a\napproval: {title: 'is ${x.y} right?'}" },
  { "approval.show", "kind", 'weir.approval "a" { show = { "$.x" } }', "name: a\napproval: {show: [$.x]}" },
  { "approval.form", "kind", 'weir.approval "a" { form = { type = "object" } }', "name: a\napproval: {form: {type: object}}" },
  { "approval.who", "kind", 'weir.approval "a" { who = "ada" }', "name: a\napproval: {who: [ada]}" },
  { "approval.not_initiator", "kind", 'weir.approval "a" { not_initiator = true }', "name: a\napproval: {not_initiator: true}" },
  { "approval.quorum", "kind", 'weir.approval "a" { quorum = 2 }', "name: a\napproval: {quorum: 2}" },
  { "approval.on_reject", "kind", 'weir.approval "a" { on_reject = "continue" }', "name: a\napproval: {on_reject: continue}" },
  { "approval.on_timeout", "kind", 'weir.approval "a" { on_timeout = "escalate", timeout = "7d", escalate = "bob" }',
    "name: a\ntimeout: 7d\napproval: {on_timeout: escalate, escalate: bob}" },
  { "approval.remind", "kind", 'weir.approval "a" { remind = "1d" }', "name: a\napproval: {remind: 1d}" },
  { "approval.escalate", "kind", 'weir.approval "a" { escalate = { { after = "2h", to = "bob" } } }', "name: a\napproval: {escalate: [{after: 2h, to: [bob]}]}" },
  { "rung.after", "kind", 'weir.approval "a" { escalate = { { after = "2h", to = "bob" } } }', "name: a\napproval: {escalate: [{after: 2h, to: bob}]}" },
  { "rung.to", "kind", 'weir.approval "a" { escalate = { { after = "2h", to = { "bob", "ops" } } } }', "name: a\napproval: {escalate: [{after: 2h, to: [bob, ops]}]}" },
  { "rung.instead", "kind", 'weir.approval "a" { escalate = { { after = "2h", to = "bob", instead = true } } }',
    "name: a\napproval: {escalate: [{after: 2h, to: bob, instead: true}]}" },
  { "approval.working", "kind", 'weir.approval "a" { working = { tz = "Europe/Berlin" } }', "name: a\napproval: {working: {tz: Europe/Berlin}}" },
  { "working.hours", "kind", 'weir.approval "a" { working = { hours = { "09:00-12:00", "13:00-17:00" } } }',
    "name: a\napproval: {working: {hours: ['09:00-12:00', '13:00-17:00']}}" },
  { "working.calendar", "kind", 'weir.approval "a" { working = { calendar = { days = "mon-thu" } } }', "name: a\napproval: {working: {calendar: {days: mon-thu}}}" },
  { "working.tz", "kind", 'weir.approval "a" { working = { tz = "UTC" } }', "name: a\napproval: {working: {tz: UTC}}" },
  { "approval.precondition", "kind", 'weir.approval "a" { precondition = "echo" }', "name: a\napproval: {precondition: {agent: echo}}" },
  { "precondition.agent", "kind", 'weir.approval "a" { precondition = { agent = "echo" } }', "name: a\napproval: {precondition: echo}" },
  { "precondition.options", "kind", 'weir.approval "a" { precondition = { use = "chunk", options = { size = 9 } } }',
    "name: a\napproval: {precondition: {agent: chunk, options: {size: 9}}}" },
  { "precondition.input", "kind", 'weir.approval "a" { precondition = { agent = "echo", input = { text = "$.x" } } }',
    "name: a\napproval: {precondition: {agent: echo, input: {text: $.x}}}" },
  { "quorum.weight", "kind", 'weir.approval "a" { quorum = { weight = 3 } }', "name: a\napproval: {quorum: {weight: 3}}" },
  { "quorum.weights", "kind", 'weir.approval "a" { quorum = { weight = 3, weights = { ada = 2 } } }',
    "name: a\napproval: {quorum: {weight: 3, weights: {ada: 2}}}" },
  { "step.wait", "kind", 'weir.wait "a" { signal = "go" }', "name: a\nwait: {signal: go}" },
  { "wait.signal", "kind", 'weir.wait "a" { signal = "go", timeout = 3 }', "name: a\ntimeout: 3\nwait: {signal: go}" },
  { "wait.event", "kind", 'weir.wait "a" { event = "paid" }', "name: a\nwait: {event: paid}" },
  { "wait.match", "kind", 'weir.wait "a" { event = "paid", match = "$.event.id == $.x.id" }', "name: a\nwait: {event: paid, match: $.event.id == $.x.id}" },
  { "wait.any", "kind", 'weir.wait "a" { any = { { signal = "go" }, { event = "paid" } } }', "name: a\nwait: {any: [{signal: go}, {event: paid}]}" },
  { "wait.all", "kind", 'weir.wait "a" { all = { signal = "go" } }', "name: a\nwait: {all: [{signal: go}]}" },
  { "wait.at_least", "kind", 'weir.wait "a" { at_least = 1, of = { { signal = "go" } } }', "name: a\nwait: {at_least: 1, of: [{signal: go}]}" },
  { "wait.of", "kind", 'weir.wait "a" { at_least = 1, of = { { any = { { signal = "go" } } } } }', "name: a\nwait: {at_least: 1, of: [{any: [{signal: go}]}]}" },
  { "step.map", "kind", 'weir.map "a" { over = "$.x", weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, each: {name: c, agent: echo}}" },
  { "map.over", "kind", 'weir.map "a" { over = { 1, 2 }, weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: [1, 2], each: {name: c, agent: echo}}" },
  { "map.chunk", "kind", 'weir.map "a" { over = "$.x", chunk = "chunk", weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, chunk: {agent: chunk}, each: {name: c, agent: echo}}" },
  { "chunk.agent", "kind", 'weir.map "a" { over = "$.x", chunk = { agent = "chunk" }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, chunk: chunk, each: {name: c, agent: echo}}" },
  { "chunk.options", "kind", 'weir.map "a" { over = "$.x", chunk = { use = "chunk", options = { size = 9 } }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, chunk: {agent: chunk, options: {size: 9}}, each: {name: c, agent: echo}}" },
  { "chunk.stream", "kind", 'weir.map "a" { over = "$.x", chunk = { agent = "chunk", stream = true }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, chunk: {agent: chunk, stream: true}, each: {name: c, agent: echo}}" },
  { "map.hedge", "kind", 'weir.map "a" { over = "$.x", hedge = "30s", weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, hedge: 30s, each: {name: c, agent: echo}}" },
  { "map.memo", "kind", 'weir.map "a" { over = "$.x", memo = "7d", weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, memo: 7d, each: {name: c, agent: echo}}" },
  { "map.batch", "kind", 'weir.map "a" { over = "$.x", batch = 10, weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, batch: 10, each: {name: c, agent: echo}}" },
  { "map.concurrency", "kind", 'weir.map "a" { over = "$.x", concurrency = 8, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, concurrency: 8, each: {name: c, agent: echo}}" },
  { "limits.min", "kind", 'weir.map "a" { over = "$.x", concurrency = { min = 1, max = 8 }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, concurrency: {min: 1, max: 8}, each: {name: c, agent: echo}}" },
  { "limits.max", "kind", 'weir.map "a" { over = "$.x", concurrency = { max = 8 }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, concurrency: {max: 8}, each: {name: c, agent: echo}}" },
  { "map.ordered", "kind", 'weir.map "a" { over = "$.x", ordered = false, weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, ordered: false, each: {name: c, agent: echo}}" },
  { "map.tolerate", "kind", 'weir.map "a" { over = "$.x", tolerate = "5%", weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, tolerate: 5%, each: {name: c, agent: echo}}" },
  { "map.until", "kind", 'weir.map "a" { over = "$.x", ["until"] = "$.index > 3", weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, until: $.index > 3, each: {name: c, agent: echo}}" },
  { "map.each", "kind", 'weir.map "a" { over = "$.x", weir.step "c" { agent = "echo" }, weir.step "d" { agent = "echo", input = "$.c" }, output = "$.d" }',
    "name: a\nmap:\n  over: $.x\n  each:\n    name: each\n    groups:\n    - {name: c, agent: echo}\n    - {name: d, agent: echo, input: $.c}\n    output: $.d" },
  { "map.reduce", "kind", 'weir.map "a" { over = "$.x", reduce = "combine", weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, reduce: {agent: combine}, each: {name: c, agent: echo}}" },
  { "reduce.agent", "kind", 'weir.map "a" { over = "$.x", reduce = { use = "combine" }, weir.step "c" { agent = "echo" } }', "name: a\nmap: {over: $.x, reduce: combine, each: {name: c, agent: echo}}" },
  { "reduce.options", "kind", 'weir.map "a" { over = "$.x", reduce = { use = "combine", options = { x = 1 } }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, reduce: {agent: combine, options: {x: 1}}, each: {name: c, agent: echo}}" },
  { "reduce.mode", "kind", 'weir.map "a" { over = "$.x", reduce = { agent = "combine", mode = "fold" }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, reduce: {agent: combine, mode: fold}, each: {name: c, agent: echo}}" },
  { "reduce.arity", "kind", 'weir.map "a" { over = "$.x", reduce = { agent = "combine", mode = "tree", arity = 16 }, weir.step "c" { agent = "echo" } }',
    "name: a\nmap: {over: $.x, reduce: {agent: combine, mode: tree, arity: 16}, each: {name: c, agent: echo}}" },
  { "step.speculate", "kind", 'weir.speculate "a" { weir.step "c" { agent = "echo" } }', "name: a\nspeculate: {branches: [{name: c, agent: echo}]}" },
  { "speculate.branches", "kind", 'weir.speculate "a" { weir.step "c" { weir.step "d" { agent = "echo" } } }',
    "name: a\nspeculate: {branches: [{name: c, groups: [{name: d, agent: echo}]}]}" },
  { "speculate.judge", "kind", 'weir.speculate "a" { judge = "coverage", weir.step "c" { agent = "echo" } }', "name: a\nspeculate: {judge: {use: coverage}, branches: [{name: c, agent: echo}]}" },
  { "speculate.join", "kind", 'weir.speculate "a" { join = "first", weir.step "c" { agent = "echo" } }', "name: a\nspeculate: {join: first, branches: [{name: c, agent: echo}]}" },
  { "speculate.hedge", "kind", 'weir.speculate "a" { hedge = "p95", weir.step "c" { agent = "echo" } }', "name: a\nspeculate: {hedge: p95, branches: [{name: c, agent: echo}]}" },
  { "speculate.halve", "kind", 'weir.speculate "a" { judge = "coverage", halve = 2, weir.step "c" { agent = "echo" } }', "name: a\nspeculate: {judge: coverage, halve: 2, branches: [{name: c, agent: echo}]}" },
  { "step.plan", "kind", 'weir.plan "a" { goal = "write ${x.y}" }', "name: a\nplan: {goal: 'write ${x.y}'}" },
  { "plan.goal", "kind", 'weir.plan "a" { goal = { topic = "$.x" } }', "name: a\nplan: {goal: {topic: $.x}}" },
  { "plan.planner", "kind", 'weir.plan "a" { goal = "g", planner = "rules" }', "name: a\nplan: {goal: g, planner: {use: rules}}" },
  { "plan.agents", "kind", 'weir.plan "a" { goal = "g", agents = "echo" }', "name: a\nplan: {goal: g, agents: [echo]}" },
  { "plan.limits", "kind", 'weir.plan "a" { goal = "g", limits = { steps = 9 } }', "name: a\nplan: {goal: g, limits: {steps: 9}}" },
  { "plan_limits.steps", "kind", 'weir.plan "a" { goal = "g", limits = { steps = 3 } }', "name: a\nplan: {goal: g, limits: {steps: 3}}" },
  { "plan_limits.depth", "kind", 'weir.plan "a" { goal = "g", limits = { depth = 3 } }', "name: a\nplan: {goal: g, limits: {depth: 3}}" },
  { "plan_limits.usd", "kind", 'weir.plan "a" { goal = "g", limits = { usd = 0.5 } }', "name: a\nplan: {goal: g, limits: {usd: 0.5}}" },
  { "plan_limits.seconds", "kind", 'weir.plan "a" { goal = "g", limits = { seconds = 60 } }', "name: a\nplan: {goal: g, limits: {seconds: 60}}" },
  { "plan.sign_off", "kind", 'weir.plan "a" { goal = "g", sign_off = true }', "name: a\nplan: {goal: g, sign_off: true}" },
  { "plan.replan", "kind", 'weir.plan "a" { goal = "g", replan = 2 }', "name: a\nplan: {goal: g, replan: 2}" },
  { "plan.reuse", "kind", 'weir.plan "a" { goal = "g", reuse = "same" }', "name: a\nplan: {goal: g, reuse: same}" },
}

local function round_trips(loaded, what)
  for _, format in ipairs { "yaml", "json" } do
    local text = printer.print(loaded.normal, format)
    local again = load_text("p." .. format, text)
    assert.is_true(value_of.equal(loaded.normal, again.normal), what .. " as " .. format .. "\n" .. text)
    assert.equal(loaded.version, again.version, what)
    assert.equal(text, printer.print(again.normal, format), what)
  end
end

describe("Lua and YAML", function()
  it("say the same with every field of the normal form", function()
    for _, pair in ipairs(PAIRS) do
      local field, where, lua, yaml = table.unpack(pair)
      local from_lua = load_text("p.lua", 'local weir = require "weir"\nreturn ' .. lua_pipeline(where, lua))
      local from_yaml = load_text("p.yaml", yaml_pipeline(where, yaml))
      local same = value_of.equal(from_lua.normal, from_yaml.normal)
      assert.is_true(same, field .. "\n" .. printer.print(from_lua.normal, "yaml") .. "\n" .. printer.print(from_yaml.normal, "yaml"))
      assert.equal(from_lua.version, from_yaml.version, field)
      round_trips(from_lua, field)
    end
  end)

  -- What is not run by this version, or names something that is not there, is refused alike.
  it("give equal results, or are refused alike", function()
    local ran = 0
    for _, pair in ipairs(PAIRS) do
      local field, where, lua, yaml = table.unpack(pair)
      local outcomes = {}
      for index, file in ipairs { { "p.lua", 'local weir = require "weir"\nreturn ' .. lua_pipeline(where, lua) },
        { "p.yaml", yaml_pipeline(where, yaml) } } do
        local ok, run = pcall(testing.run_text, file[1], file[2], { input = { path = "x", list = json.list { 1, 2 } }, agents = AGENTS })
        outcomes[index] = ok and { run.status, run.output, run.error and run.error.message } or { "refused", tostring(run):gsub("p%.%a+:%d+", "p") }
        if ok and index == 1 then ran = ran + 1 end
      end
      assert.same(outcomes[1], outcomes[2], field)
    end
    assert.is_true(ran > 60, ran)
  end)

  it("leave no field of the normal form out", function()
    local tried = {}
    for _, pair in ipairs(PAIRS) do tried[pair[1]] = true end
    for name in pairs(tried) do
      local def, field = name:match("^([%w_]+)%.([%w_]+)$")
      local known = false
      for _, other in ipairs(form.order[def] or {}) do known = known or other == field end
      assert.is_true(known, name .. " is no field")
    end
    for def, fields in pairs(form.order) do
      for _, field in ipairs(fields) do
        -- A gate has the fields of an approval.
        local name = def == "gate" and field ~= "timeout" and "approval." .. field or def .. "." .. field
        assert.is_true(tried[name] == true, name .. " has no pair")
      end
    end
  end)
end)

local GUIDE = {
  review = [[
local weir = require "weir"

return weir.pipeline "review" {
  input = { path = "string", words = "integer = 300" },
  weir.step "read" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.group "draft" {
    weir.step "write" { agent = "summarize", input = { text = "$.read.text", words = "$.input.words" }, stream = true,
                        timeout = "2m", retry = { attempts = 3 },
                        critic = { use = "rubric", options = { min_words = 80 }, attempts = 3, otherwise = "escalate" } },
    weir.step "count" { agent = "counter", from = "write" },
    branch = { on = "count", cases = { short = "draft" }, default = "release", max_visits = 4 },
  },
  weir.approval "release" { title = "Publish?", show = "$.write", timeout = "7d", on_timeout = "reject" },
  output = "$.write.text",
}
]],
  parts = [[
local weir = require "weir"

return weir.pipeline "parts" {
  weir.step "list" { agent = "files", options = { mode = "list" } },
  weir.map "parts" { over = "$.list.files", concurrency = 8, tolerate = "5%",
    weir.step "text"  { agent = "files", options = { mode = "read" }, input = { path = "$.item" } },
    weir.step "short" { agent = "summarize", input = { text = "$.text.text" } },
    reduce = { agent = "combine", mode = "tree", arity = 16 } },
  weir.speculate "best" { judge = "coverage",
    weir.step "textrank" { agent = "summarize", options = { method = "textrank" }, input = "$.input" },
    weir.step "two_steps" {
      weir.step "cut" { agent = "chunk", input = "$.input" },
      weir.step "lexrank" { agent = "summarize", options = { method = "lexrank" }, input = "$.cut" } } },
}
]],
}

describe("the pipelines of the guide", function()
  for name, text in pairs(GUIDE) do
    it("load, print and read back equal: " .. name, function()
      round_trips(load_text(name .. ".lua", text), name)
    end)
  end

  it("load as a flow", function()
    local flow = load_text("publish.lua", [[
local weir = require "weir"
return weir.flow "publish" {
  input = { path = "string" },
  function(run, input)
    local list = run:step "list" { agent = "files", options = { mode = "list" }, input = { path = input.path } }
    local parts = run:map "parts" { over = list.files, concurrency = 8, function(run, item, index)
      local text = run:step "text" { agent = "files", options = { mode = "read" }, input = { path = item } }
      return run:step "short" { agent = "summarize", input = { text = text.text } }
    end }
    return parts
  end,
}
]])
    assert.equal("flow", flow.kind)
    assert.is_function(flow.body)
    assert.is_nil(flow.normal.groups)
  end)

  it("print in a form that people can read", function()
    assert.equal([[
weir: 1
name: hello
groups:
  - name: greet
    steps:
      - name: greet
        agent: echo
        input:
          text: Hello ${input.name}
output: $.greet
]], printer.print(load_text("hello.yaml",
      "name: hello\noutput: $.greet\ngroups:\n- {agent: echo, name: greet, input: {text: 'Hello ${input.name}'}}\n").normal, "yaml"))
  end)
end)

describe("printing", function()
  local STRINGS = {
    "", " ", "a", "yes", "No", "on", "~", "null", "true", "1", "1.5", "0x1f", "1e3", "-", "- a", "a: b", "a #b", "#a", "a:", "*a", "&a",
    "!a", "%a", "@a", "`a", "|", ">", "'a'", '"a"', "a\"b", "\\", "a\nb", "a\nb\n", "a\n\nb\n\n", "\na", " a\nb", "a\n  b\n c", "a\n \nb", "a\n ",
    "\t", "a\tb", "\r\n", "\u{85}", "\u{a0}", "\u{2028}", "\u{feff}a", "\u{1f600}", "h\u{e9}llo", "\27[0m", "\127", "2020-01-01", "12:30",
    "[a]", "{a}", "a, b", "a]", "a}", "$.a.b[0] == 'x' && !$.c", "${a}", "a ", "?", "? a", "=", "<<", ".", "..", ".inf", ".nan", "a  b",
    ("long "):rep(60), "a\n---\nb", "---", "...", "a\n...\n", "\u{fffd}", "%", "key: [a, b]", "a\u{2029}b\nc",
  }

  it("writes any text so that it reads back equal, as value and as key", function()
    for _, text in ipairs(STRINGS) do
      local options = { value = text, list = json.list { text, { x = text } }, [text ~= "" and text or "e"] = 1 }
      local loaded = assert(definition.value(build.pipeline "p" { build.step "a" { agent = "echo", options = options } }))
      round_trips(loaded, ("%q"):format(text))
    end
  end)

  it("writes numbers, null and empty tables so that they read back equal", function()
    local options = {
      a = 1, b = 1.0, c = 1e300, d = -0.1, e = math.maxinteger, f = math.mininteger, g = json.null, h = json.list {}, i = {},
      j = json.list { json.list {}, {}, json.null, json.list { json.list { 1 } } }, k = true, l = false, m = 0.1 + 0.2,
    }
    local loaded = assert(definition.value(build.pipeline "p" { build.step "a" { agent = "echo", options = options } }))
    round_trips(loaded, "numbers")
    local again = load_text("p.yaml", printer.print(loaded.normal, "yaml")).normal.groups[1].steps[1].options
    assert.equal("float", math.type(again.b))
    assert.equal("integer", math.type(again.a))
  end)

  it("quotes what older readers of YAML take for something else", function()
    local options = { a = "yes", b = "off", c = "2020-01-01", d = "~", e = "plain words", f = "1.2.3" }
    local loaded = assert(definition.value(build.pipeline "p" { build.step "a" { agent = "echo", options = options } }))
    local text = printer.print(loaded.normal, "yaml")
    for _, line in ipairs { 'a: "yes"', 'b: "off"', 'c: "2020-01-01"', 'd: "~"', "e: plain words", "f: 1.2.3" } do
      assert.truthy(text:find(line .. "\n", 1, true), line)
    end
  end)

  it("refuses another format", function()
    assert.has_error(function() printer.print({}, "toml") end)
  end)
end)
