--- The commands that exist, in the order of the overview. A file of its own name holds each of them.

---@class weir.cli.Entry
---@field name string
---@field summary string

local M = {}

M.families = {
  { title = "write and run pipelines", entries = {
    { name = "run", summary = "run a pipeline, once, now" },
    { name = "check", summary = "check pipeline files; all errors at once" },
    { name = "graph", summary = "draw a pipeline or a run, for Mermaid or Graphviz" },
    { name = "schema", summary = "print the JSON Schema of pipeline files" },
    { name = "new", summary = "make a project folder" },
  } },
  { title = "look at runs and steer them", entries = {
    { name = "runs", summary = "list runs, the newest first" },
    { name = "show", summary = "show a run: its steps, attempts, errors, output" },
    { name = "trace", summary = "show when what happened in a run" },
    { name = "workspace", summary = "list, read, write and search the documents that runs share" },
    { name = "goals", summary = "list goals that were planned for, their plans and what came of them" },
    { name = "reflect", summary = "propose another version after a run, try it, keep what is better" },
    { name = "candidates", summary = "list what was proposed, how it did, what became of it" },
    { name = "diff", summary = "compare two runs, step by step" },
    { name = "cancel", summary = "cancel a run" },
    { name = "pause", summary = "keep a run from going on" },
    { name = "resume", summary = "go on with unfinished runs" },
    { name = "retry", summary = "run again what did not work; keep what did" },
    { name = "fork", summary = "run on from a step, with values changed" },
    { name = "export", summary = "write a run into a file" },
    { name = "import", summary = "take a run from a file" },
    { name = "signal", summary = "send a signal to a run" },
    { name = "event", summary = "send events, look at those that came, give them again" },
    { name = "incidents", summary = "list what went wrong and what was done about it" },
    { name = "approvals", summary = "list what waits for a person's decision" },
    { name = "approve", summary = "approve what waits, or answer it" },
    { name = "reject", summary = "reject what waits" },
  } },
  { title = "a host that goes on", entries = {
    { name = "dev", summary = "serve a project while you work on it" },
    { name = "serve", summary = "serve a project" },
    { name = "repl", summary = "talk Lua to the host of the project" },
    { name = "attach", summary = "talk Lua to a host that is named" },
    { name = "eval", summary = "evaluate one expression there" },
    { name = "schedule", summary = "when runs start by themselves: list, preview, history, pause, trigger" },
  } },
  { title = "keep house", entries = {
    { name = "config", summary = "print the settings, and where each comes from" },
    { name = "token", summary = "make a token for the HTTP door" },
    { name = "prune", summary = "remove old runs, and what nothing refers to" },
    { name = "backup", summary = "copy the store" },
    { name = "doctor", summary = "check the installation, the store and the project" },
  } },
  { title = "modules, tests, this machine", entries = {
    { name = "modules", summary = "list modules and pipelines in their versions" },
    { name = "mcp", summary = "list MCP servers and their tools; call one" },
    { name = "models", summary = "list models: how well they work, what they cost; ask another policy" },
    { name = "critic", summary = "ask critics again about past runs; compare them with people" },
    { name = "skills", summary = "list skills and how they do; try or remove one" },
    { name = "reload", summary = "have files serve as they are now" },
    { name = "migrate", summary = "bind runs to another version of their pipeline" },
    { name = "canary", summary = "put a new version on trial for a part of the runs" },
    { name = "rollback", summary = "have the version before serve again" },
    { name = "test", summary = "run specs inside the host" },
    { name = "bench", summary = "measure weir on this machine" },
    { name = "completion", summary = "print a script with which a shell completes commands" },
    { name = "version", summary = "print versions" },
    { name = "help", summary = "explain a command" },
  } },
}

M.names = {}
M.by_name = {}
for _, family in ipairs(M.families) do
  for _, entry in ipairs(family.entries) do
    M.names[#M.names + 1] = entry.name
    M.by_name[entry.name] = entry
  end
end

-- What a host carries out for those who ask it, since it has the store: true, or "looks" for what changes nothing.
local SERVED = { run = true, runs = "looks", show = "looks", trace = "looks", workspace = true, diff = "looks", cancel = true,
  pause = true, resume = true, retry = true, fork = true, export = "looks", import = true, signal = true, event = true,
  approvals = true, approve = true, reject = true, prune = true, backup = true, modules = "looks", models = "looks",
  graph = "looks", critic = "looks", incidents = true, canary = true, goals = true, reload = true, rollback = true, migrate = true,
  schedule = true, skills = true, reflect = true, candidates = "looks" }

--- Whether a command is carried out by the host that has the store, where there is one.
---@param name string|nil
---@return boolean
function M.is_served(name)
  return name ~= nil and SERVED[name] ~= nil and M.by_name[name] ~= nil
end

--- Whether a command changes nothing, so that it may be ended at any moment.
---@param name string
---@return boolean
function M.only_looks(name)
  return SERVED[name] == "looks"
end

-- Commands that start a host, or talk to one for long, stand with the doors of hosts.
local OF_DOORS = { serve = true, dev = true, repl = true, attach = true, eval = true }

--- Loads a command by its name.
---@param name string one of `names`
---@return weir.cli.Command
function M.load(name)
  return require((OF_DOORS[name] and "weir.doors." or "weir.cli.") .. name)
end

return M
