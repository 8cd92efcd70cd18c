--- Says in plain words what arrives on a stream, while it arrives: word by word from a list, or sentence by sentence by the
--- model of the step. When what it has read is taken back, it goes on from what holds.

local pieces = require "weir.text.pieces"

local M = {
  kind = "agent", name = "plain_words", api = 1,
  doc = "Says in plain words what arrives on a stream, while it arrives",
  options = {
    method = { enum = { "list", "model" }, default = "list" },
    words = { type = "object", additionalProperties = { type = "string" }, default = {} }, -- beside those of the list below
  },
}

local PLAIN = {
  accomplish = "do", additional = "more", approximately = "about", ascertain = "find out", assist = "help", attempt = "try",
  cease = "stop", commence = "begin", commenced = "began", consequently = "so", demonstrate = "show", demonstrates = "shows",
  discontinue = "stop", endeavour = "try", facilitate = "help", facilitates = "helps", furthermore = "also", however = "but",
  inquire = "ask", methodology = "method", modification = "change", modifications = "changes", nevertheless = "still",
  numerous = "many", obtain = "get", obtained = "got", permit = "let", permits = "lets", previously = "before", purchase = "buy",
  regarding = "about", remainder = "rest", require = "need", requires = "needs", subsequently = "later", sufficient = "enough",
  terminate = "end", terminates = "ends", therefore = "so", utilization = "use", utilize = "use", utilized = "used",
  utilizes = "uses", utilizing = "using",
}

local function by_list(more)
  return function(text)
    return (text:gsub("%a+", function(word)
      local lower = word:lower()
      local plain = more[lower] or PLAIN[lower]
      if not plain then return nil end
      return word:find "^%u" and plain:sub(1, 1):upper() .. plain:sub(2) or plain
    end))
  end
end

-- What the model says of a sentence is a step of its own, so it is not asked again after a crash.
local function by_model(ctx)
  return function(text)
    if not text:find "%S" then return text end
    local answer = ctx:chat { prompt = "Say this in plain words, in about as many words, and nothing else:\n\n" .. text }
    return answer.message.content .. text:match "%s*$"
  end
end

--- Reads the stream to its end. Waits for what comes, and while readers are behind.
---@param ctx weir.Context
---@return string|nil  nothing where text was streamed: that is the output
function M.execute(ctx)
  local options = ctx.options
  local in_plain_words = options.method == "model" and by_model(ctx) or by_list(options.words)
  local unit = options.method == "model" and "sentences" or "words"
  local count = pieces.read(ctx, unit, function(whole) ctx:emit(in_plain_words(whole)) end)
  if count == 0 then return "" end
end

return M
