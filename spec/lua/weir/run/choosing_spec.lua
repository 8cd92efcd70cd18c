local testing = require "weir.testing"
local weir = require "weir"

-- Three models of different quality, and a critic that can tell.
local function quality_of(text) return tonumber(text:match "quality (%d+)") / 100 end

describe("a step that chooses its model by what critics say", function()
  it("comes to the best, leaves it when it degrades, and comes back", function()
    local quality, calls, chosen = { good = 95, fair = 60, poor = 30 }, 0, {}
    local function model(name)
      return function()
        calls = calls + 1
        chosen[calls] = name
        return { message = { role = "assistant", content = "quality " .. quality[name] }, finish = "stop", usage = { input_tokens = 1, output_tokens = 1 } }
      end
    end
    local of = testing.run(weir.flow "chooser" { function(run)
      local function ask(count)
        for _ = 1, count do
          run:step "ask" { agent = "ask", model = { candidates = { "good", "fair", "poor" },
              policy = "bandit", options = { explore = 60, forget = 300 } }, input = { prompt = "x" },
            critic = { use = "judge", attempts = 1, otherwise = "accept_best" } }
          run:sleep(5) -- the virtual clock goes on: scores age
        end
      end
      ask(120)
      quality.good = 10
      ask(60)
      quality.good = 95
      ask(200)
      return "done"
    end }, { seed = 3, jitter = 0, critics = {
      judge = function(_, draft) return { verdict = "approve", score = quality_of(draft.text) } end }, models = { good = model "good", fair = model "fair", poor = model "poor" }, model = "good" })
    assert.equal("finished", of.status, of.error and of.error.message)
    local function share(name, from, to)
      local count = 0
      for call = from, to do count = count + (chosen[call] == name and 1 or 0) end
      return count / (to - from + 1)
    end
    assert.is_true(share("good", 81, 120) > 0.6, share("good", 81, 120))   -- it has come to the best
    assert.is_true(share("good", 141, 180) < 0.4, share("good", 141, 180)) -- twenty calls after it degraded it has left it
    assert.is_true(share("good", 341, 380) > 0.6, share("good", 341, 380)) -- and come back
  end)
end)
