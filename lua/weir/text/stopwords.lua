--- Words that say little by themselves: short lists for the commonest languages, a guess which
--- language a text is in, and a rule by frequency for the languages that have no list here.
--- The lists are function words (articles, pronouns, prepositions, conjunctions, auxiliaries) in
--- lower case, as `weir.text.tokens` gives them.

local M = {}

local LISTS = {
  { "en", [[a about after all also am an and any are as at be because been before being between both but by
    can cannot could did do does each every for from had has have he her here him his how i if in into is it
    its just like may me more most my never no nor not now of on one only or other our out over own s same she
    should so some such t than that the their them then there these they this those through to too under until
    up very via was we were what when where which while who whom why will with without would yet you your]] },
  { "de", [[aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da damit dann
    das dass dem den denn der des die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem
    einen einer eines er es etwas euch für gegen hat hatte haben hier ich ihm ihn ihr ihre ihrem ihren ihrer
    im in ist ja jede jeder kann kein keine können man mehr mein mit muss nach nicht nichts noch nun nur ob
    oder ohne sehr sein seine seinem seinen seiner sich sie sind so sondern soll über um und uns unter vom von
    vor war waren was weil wenn wer werden wie wieder will wir wird wo wurde wurden zu zum zur zwischen]] },
  { "fr", [[à ai au aussi autre aux avait avec avoir c ce cela celle celui ces cet cette ceux chez comme d
    dans de des deux donc dont du elle elles en encore entre est et était étaient été être eu eux fait font il
    ils j je jusqu l la le les leur leurs lui m ma mais me même mes moins mon n ne nos notre nous on ont ou où
    par pas peu peut plus pour qu quand que qui s sa sans se sera ses si son sont sous sur t ta te tes tous
    tout toute toutes très tu un une vos votre vous y]] },
  { "es", [[a al algo ante antes aunque cada como con contra cual cuando de del desde donde dos e el él ella
    ellas ellos en entre era eran es esa ese eso esta está están este esto estos fue fueron ha había hace han
    hasta hay la las le les lo los más me mi mientras muy nada ni no nos nosotros o otra otro para pero poco
    por porque que qué quien se sea ser si sí sin sobre son su sus también tan te tiene todo todos tu un una
    uno unos y ya yo]] },
  { "it", [[a ad agli ai al alla alle allo anche avere aveva c che chi ci come con cosa cui d da dagli dal
    dalla dalle degli dei del della delle dello di dopo dove due e è ed era erano essere fa fra gli ha hanno
    ho i il in io l la le lei li lo loro lui ma mi mia mio molto ne nei nel nella nelle no noi non nostro o
    ogni per perché però più poi qual quale quando quanto quella quello questa queste questi questo s sarà se
    sempre senza si sia solo sono sta su sua sue sugli sul sulla sulle suo suoi tra tutti tutto un una uno vi
    voi]] },
  { "pt", [[a à ainda ao aos aquele aqui as às até cada com como da das de dela dele depois do dos e é ela
    elas ele eles em entre era essa esse esta está este eu foi foram há isso isto já lhe mais mas me mesmo meu
    minha muito na não nas nem no nos nós num numa o onde os ou para pela pelo pelos per por porque pouco qual
    quando que quem são se seja sem ser será seu seus só sob sobre sua suas também te tem têm tinha todos tudo
    um uma umas uns vai você]] },
  { "nl", [[aan al alle als altijd ben bij dan dat de der deze die dit doch doen door dus een en er ge geen
    had heb hebben heeft hem het hier hij hoe hun iets ik in is ja je kan kon kunnen maar me meer men met mij
    mijn moet na naar niet niets nog nu of om omdat ons ook op over reeds te tegen toch toen tot u uit van
    veel voor want waren was wat we wel werd wezen wie wij wil worden wordt ze zei zich zij zijn zo zonder zou]] },
  { "sv", [[alla allt att av bara blev bli blir de dem den denna deras dess det detta dig din du då där efter
    ej eller en er ett från för ha hade han hans har hennes hon honom hur här i icke ingen inom inte ja jag
    kan kunde man med mellan men mig min mot mycket ni nu när och om oss på samma sedan sig sin sina sitt ska
    skulle som så till under upp ut utan vad var vara vi vid vilken är än över]] },
  { "pl", [[a aby albo ale ani aż bardzo bez bo by był była było były być ci co czy dla do gdy gdzie go i ich
    ile im inne ja jak jako je jego jej jest jeszcze jeśli już każdy kiedy kto która które który lub ma mnie
    może można mu na nad nam nas nie nich nim niż o od on ona one oni oraz po pod przed przez przy są się
    sobie swoje ta tak także tam te tego tej ten to tu ty tych tylko tym u w we więc wszystko z za ze że]] },
  { "ru", [[а без бы был была были было быть в вам вас весь во вот все всё всех вы где да даже для до его ее
    её если есть еще ещё же за и из или им их к как когда который которые кто ли либо между меня мне много
    может мы на над надо наш не него нее ней нет ни них но ну о об один он она они оно от очень по под после
    потом при про с сам себя со так также такой там те тем то того тоже той только том ты у уже хотя чего чем
    что чтобы эта эти это этого этой этот я]] },
  { "tr", [[acaba ama ancak artık az bana bazı belki ben beni benim bile bir biri birçok biz bu buna bunda
    bundan bunu bunun çok çünkü da daha de değil diye en gibi göre hem hep her hiç için içinde ile ise kadar
    ki kim kimse mı mi mu mü nasıl ne neden niye o olan olarak oldu olduğu olur ona onlar onu onun ve veya ya
    yani]] },
  { "ar", [[ا أحد أن أنا أو أي إذا إلا إلى إن الا التي الذي الذين الى ان او بعد بعض به بها بين تلك تم ثم حتى
    حيث خلال دون ذلك عليه عليها على عن عند غير في فيه فيها قبل قد كان كانت كل كما كيف لا لكن لم لن له لها ليس
    ما مع من منذ منه منها نحن هذا هذه هل هم هنا هناك هو هي و وفي وقد وكان ولا ولم وما ومن وهو وهي يكون يمكن]] },
  { "fa", [[آن آنها از است اگر اما او ای این با باید بر برای بود بودند به تا تر چه خود در دیگر را شد شده شود
    کرد کرده کند که ما می من نمی نیز نیست ها های هایی هر هم همه و وی ی یا یک]] },
  { "hi", [[अपना अपनी अपने इन इस इसका इसके इसी उन उनके उस उसके एक ऐसे और कर करता करते करना करने कहा का काफी कि
    किया किसी की कुछ के को कोई गया जब जा जाता जाती जैसे जो तक तथा तब तो था थी थे दिया दो द्वारा न नहीं ने पर
    फिर बहुत बाद भी में यह यहाँ या ये रहा रहे लिए वह वाले वे व सकता सकते साथ से हम ही हुआ हुई है हैं हो होता
    होती होते होना]] },
  { "id", [[ada adalah agar akan aku atau bagi bahwa banyak belum bisa bukan dalam dan dapat dari dengan di
    dia ini itu jika juga kami kamu karena ke kepada kita lagi lain lebih mereka namun oleh pada para saat
    saja sangat saya sebagai sebuah sebelum secara sehingga semua seperti serta setelah sudah telah tentang
    tersebut tetapi tidak untuk yang]] },
}

-- Han and kana characters that carry grammar: a pair of characters with one of them is no term.
local IDEOGRAPHS = [[的 了 是 在 和 与 與 也 就 都 而 及 着 著 这 這 那 个 個 不 我 你 他 她 它 们 們 一 有 为 為 以 于 於 之 其 被 把
  对 對 从 從 到 会 會 可 又 很 但 或 并 等 所 の は が を に で と も た し て れ さ る な い す ま く っ り こ そ あ う か ん ら よ だ]]

local sets, by_language = {}, {}

local function set_of(words)
  local set = {}
  for word in words:gmatch("%S+") do set[word] = true end
  return set
end

for _, row in ipairs(LISTS) do
  local set = set_of(row[2])
  sets[#sets + 1] = { language = row[1], words = set }
  by_language[row[1]] = set
end

--- Han and kana characters that carry grammar, as a set.
---@type table<string, boolean>
M.ideographs = set_of(IDEOGRAPHS)

--- Names the languages that have a list, most spoken in documentation first. Does not yield.
---@return string[] languages  ISO 639-1 codes
function M.languages()
  local names = {}
  for index, entry in ipairs(sets) do names[index] = entry.language end
  return names
end

--- Gives the list of a language as a set. Does not yield.
---@param language string  an ISO 639-1 code
---@return table<string, boolean>? words  nil when there is no list; the caller shares it, never writes it
function M.list(language)
  return by_language[language]
end

--- Tells whether a word is a stop word in any language known here. Does not yield.
---@param word string  in lower case
---@return boolean
function M.is_any(word)
  for _, entry in ipairs(sets) do
    if entry.words[word] then return true end
  end
  return false
end

local ENOUGH = 0.12 -- share of words from one list that makes its language believable
local SAMPLE = 600 -- words looked at

--- Guesses the language of a text by the list that covers most of its words. Does not yield.
---@param words string[]  words in lower case, in order
---@return string? language  an ISO 639-1 code, nil when no list covers an eighth of the words
function M.guess(words)
  local total = math.min(#words, SAMPLE)
  local best, most = nil, math.max(1, math.ceil(total * ENOUGH)) - 1
  for _, entry in ipairs(sets) do
    local hits = 0
    for index = 1, total do
      if entry.words[words[index]] then hits = hits + 1 end
    end
    if hits > most then best, most = entry.language, hits end
  end
  return best
end

local COMMON = 0.2   -- share of sentences a function word stands in
local SHORT = 4      -- characters it has at most
local SENTENCES = 15 -- below that many sentences frequency says nothing

--- Finds likely function words of a language that has no list: short words that stand in more than
--- a fifth of the sentences. (Function words are both frequent and short, in most languages.)
--- Does not yield.
---@param sentences string[][]  the words of each sentence, in lower case
---@return table<string, boolean> words  empty below 15 sentences
function M.frequent(sentences)
  local common = {}
  if #sentences < SENTENCES then return common end
  local counts = {}
  for index, words in ipairs(sentences) do
    for _, word in ipairs(words) do
      local entry = counts[word]
      if not entry then counts[word] = { last = index, n = 1 }
      elseif entry.last ~= index then entry.last, entry.n = index, entry.n + 1 end
    end
  end
  for word, entry in pairs(counts) do -- order does not matter: each word is judged by itself
    if entry.n > #sentences * COMMON and (utf8.len(word) or #word) <= SHORT then common[word] = true end
  end
  return common
end

return M
