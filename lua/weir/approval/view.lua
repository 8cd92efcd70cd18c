--- An approval as a person sees it. What was asked may have been written by somebody who wants to deceive: each of
--- its lines stands behind a bar, texts are in quotation marks or behind `>`, what steers a terminal or cannot be
--- seen is written out, and what is cut says how long it is. Part of weir.approval. Pure but for the clock's
--- format of times.

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local ladder = require "weir.approval.ladder"
local value_of = require "weir.value"
local visible = require "weir.text.visible"

local M = {}

local TEXT_BYTES, TEXT_LINES = 1000, 40 -- of one text
local MEMBERS = 50                      -- of one list or object
local LINES = 400                       -- of one value, whatever it is made of
local DEEPEST = 12                      -- levels of indentation

local Writer = {}
Writer.__index = Writer

function Writer:say(text)
  if #self < LINES then
    self[#self + 1] = "  | " .. text
  else
    self.hidden = self.hidden + 1
  end
end

local function quoted(text)
  local head = visible.head(text, TEXT_BYTES)
  local shown = visible.plain(json.encode(head) or '"?"')
  return #head == #text and shown or ("%s ... (%d bytes in all)"):format(shown, #text)
end

local function label_of(key)
  if math.type(key) then return "- " end
  return (key:find "^[%a_][%w_-]*$" and #key <= 60 and key or quoted(key)) .. ": "
end

local function say_text(self, label, text, indent)
  local head, count, shown = visible.head(text, TEXT_BYTES), 0, 0
  local _, ends = text:gsub("\n", "")
  self:say(("%s%stext of %d lines, %d bytes"):format(indent, label, ends + 1, #text))
  for line in (head .. "\n"):gmatch "([^\n]*)\n" do
    count = count + 1
    if count <= TEXT_LINES then
      shown = shown + #line + 1
      self:say(("%s  > %s"):format(indent, visible.plain(line)))
    end
  end
  if count <= TEXT_LINES then shown = shown - 1 end -- the last line had no end of its own
  if shown < #text then self:say(("%s  ... %d more bytes"):format(indent, #text - shown)) end
end

local say_value

local function say_members(self, value, indent)
  local keys, is_list = {}, json.is_list(value)
  if is_list then
    for index = 1, #value do keys[index] = index end
  else
    keys = value_of.names(value)
  end
  for position = 1, math.min(#keys, MEMBERS) do say_value(self, label_of(keys[position]), value[keys[position]], indent) end
  if #keys > MEMBERS then self:say(("%s... %d more, %d in all"):format(indent, #keys - MEMBERS, #keys)) end
end

function say_value(self, label, value, indent)
  if type(value) == "string" then
    if value:find "\n" then return say_text(self, label, value, indent) end
    return self:say(indent .. label .. quoted(value))
  end
  if type(value) ~= "table" or next(value) == nil then return self:say(indent .. label .. json.encode(value)) end
  if #indent >= 2 * DEEPEST then return self:say(indent .. label .. quoted(json.encode(value)) .. " as JSON") end
  if label == "" then return say_members(self, value, indent) end
  self:say(indent .. label:gsub(" $", ""))
  say_members(self, value, indent .. "  ")
end

local function add_value(lines, title, value)
  if value == nil then return end
  local writer = setmetatable({ hidden = 0 }, Writer)
  say_value(writer, "", value, "")
  lines[#lines + 1] = "  " .. title
  table.move(writer, 1, #writer, #lines + 1, lines)
  if writer.hidden > 0 then lines[#lines + 1] = ("  ... %d more lines; --json has all"):format(writer.hidden) end
end

local function short(text)
  local head = visible.head(text, 200)
  return visible.plain(head) .. (#head < #text and (" ... (%d bytes in all)"):format(#text) or "")
end

local function add(lines, label, text)
  lines[#lines + 1] = ("  %-9s %s"):format(label, text)
end

local function add_quorum(lines, record)
  if not record.weights then
    if record.quorum > 1 then add(lines, "", ("%d different people have to approve"):format(record.quorum)) end
    return
  end
  local parts = {}
  for _, name in ipairs(value_of.names(record.weights)) do parts[#parts + 1] = ("%s %d"):format(short(name), record.weights[name]) end
  add(lines, "", ("who approve have to weigh %d together; %s, others 1"):format(record.quorum, table.concat(parts, ", ")))
end

local function add_people(lines, record)
  add(lines, "who", record.who and short(table.concat(record.who, ", ")) or "anybody")
  add_quorum(lines, record)
  for _, one in ipairs(record.delegated or {}) do
    local till = one.until_ms and " until " .. clock.rfc3339(one.until_ms) or ""
    add(lines, "", ("%s in the place of %s%s"):format(short(one.to), short(one.by), till))
  end
  if record.not_initiator then add(lines, "", ("not %s, who began the run"):format(short(record.initiator))) end
end

local function add_given(lines, record)
  for _, entry in ipairs(record.given) do
    local comment = entry.comment and ": " .. short(entry.comment) or ""
    local whose = entry.on_behalf_of and " in the place of " .. short(entry.on_behalf_of) or ""
    local weight = entry.weight and (", weight %d"):format(entry.weight) or ""
    add(lines, "given", ("%s by %s%s%s at %s%s"):format(entry.decision, short(entry.by), whose, weight, clock.rfc3339(entry.at_ms),
      comment))
    add_value(lines, "  with", entry.answer)
  end
end

local THEN = { approve = "then it counts as approved", reject = "then it counts as rejected", fail = "then the step fails" }

local function add_ladder(lines, record)
  local of = record.ladder
  if not of then return end
  if of.reminded then add(lines, "reminded", of.reminded == 1 and "once" or ("%d times"):format(of.reminded)) end
  for number = 1, of.rung or 0 do
    local rung = of.escalate[number]
    add(lines, "escalated", ("to %s%s"):format(short(table.concat(rung.to, ", ")), rung.instead and " instead" or ""))
  end
  local next_ms = not record.decision and ladder.next_ms(of, record.due_ms)
  if next_ms then add(lines, "next", ("%s at %s"):format(of.rung_ms == next_ms and "escalation" or "reminder", clock.rfc3339(next_ms))) end
end

local function add_times(lines, record)
  add(lines, "asked", clock.rfc3339(record.asked_ms))
  add_ladder(lines, record)
  if record.due_ms then
    add(lines, "due", ("%s; %s"):format(clock.rfc3339(record.due_ms), THEN[record.on_timeout] or "then nobody can approve it"))
  end
  if not record.decision then return end
  local why = record.decision == "cancelled" and ": " .. short(record.comment or "") or ""
  add(lines, "decided", ("%s at %s%s"):format(record.decision, clock.rfc3339(record.at_ms), why))
end

--- The lines; see weir.approval.
---@param record weir.Approval
---@return string[]
function M.lines(record)
  local lines = { ("%s  %s / %s  run %s"):format(record.id, short(record.pipeline), short(record.step), short(record.run)) }
  if record.kind == "in_doubt" then lines[#lines + 1] = "  in doubt: whether this step has happened is not known" end
  if record.title then add(lines, "asks", short(record.title)) end
  add_value(lines, "shown", record.show)
  add_value(lines, "input of the step", record.input)
  add_value(lines, "has to be so when it goes on", record.world)
  add_value(lines, "an answer has to fit this JSON Schema", record.form)
  add_people(lines, record)
  add_given(lines, record)
  add_times(lines, record)
  add(lines, "version", short(record.version))
  add(lines, "hash", record.hash)
  return lines
end

return M
