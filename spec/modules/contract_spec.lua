local schema = require "weir.schema"
local testing = require "weir.testing"

local MODULES = {
  agents = { "chunk", "combine", "command", "csv_table", "digest_page", "document_page", "documents", "echo", "files",
    "folder_documents", "http", "join_report", "keywords", "markdown_sections", "summarize", "table_page", "tally" },
  critics = { "agreement", "rubric" },
  judges = { "consensus", "coverage", "longest", "vote" },
  planners = { "model", "rules" },
  models = { "anthropic", "compatible", "extractive", "hashing", "keywords", "ollama", "openai" },
  policies = { "fair", "fifo", "priority", "ordered", "weighted", "fastest", "cheapest", "least_busy", "bandit", "deadline" },
}
local KINDS = { agents = "agent", critics = "critic", judges = "judge", models = "model", policies = "policy", planners = "planner" }
local CALLS = { agent = { "execute" }, critic = { "review" }, judge = { "judge" }, model = { "chat" }, policy = { "pick" },
  planner = { "plan" } }
local PLACES = { queue = { "pick", "admit" }, models = { "pick" } }
local OTHER_CALLS = { ["models/hashing"] = { "embed" } }

describe("what a module says", function()
  for _, folder in ipairs({ "agents", "critics", "judges", "models", "planners", "policies" }) do
    for _, name in ipairs(MODULES[folder]) do
      local path = folder .. "/" .. name

      it("names and describes itself and has its calls: " .. path, function()
        local module = testing.module(path)
        assert.equal(KINDS[folder], module.kind)
        assert.equal(name, module.name)
        assert.equal(1, module.api)
        assert.is_truthy(module.doc and #module.doc > 0 and not module.doc:find("%.$"))
        local calls = OTHER_CALLS[path] or module.serves and PLACES[module.serves] or CALLS[module.kind]
        for _, call in ipairs(calls) do assert.equal("function", type(module[call])) end
      end)

      it("declares options whose defaults fit, and what it needs and gives: " .. path, function()
        local module = testing.module(path)
        local options = assert(schema.object(module.options or {}))
        local validate = assert(schema.compile(options))
        local filled = schema.defaults(options, {})
        local ok, errors = validate(filled)
        assert.is_true(ok, errors and errors[1] and errors[1].message)
        assert.is_false((validate({ no_such_option = 1 })))
        for _, side in ipairs({ "needs", "gives" }) do
          if module[side] then assert(schema.compile(assert(schema.object(module[side])))) end
        end
      end)
    end
  end
end)
