// What must hold of every page, as far as a program can see it: nothing is cut off, everything has a name, words can be
// read. It runs in the browser, so it is one text without anything from outside.

/** Each breach in a line; evaluated in a page. */
export const EXAMINATION = `(() => {
  const found = []
  const root = document.scrollingElement
  if (root.scrollWidth > innerWidth) found.push('is ' + root.scrollWidth + ' wide in ' + innerWidth)
  const all = (selector) => [...document.querySelectorAll(selector)]
  const shown = (node) => (node.outerHTML || '').slice(0, 120)
  const has = (node, ...names) => names.some((name) => (node.getAttribute(name) || '').trim() !== '')
  if (all('h1').length !== 1) found.push(all('h1').length + ' h1')
  for (const landmark of ['header', 'main', 'nav', 'footer']) {
    if (all(landmark).length === 0) found.push('no ' + landmark)
  }
  const levels = all('h1,h2,h3,h4').map((node) => Number(node.tagName[1]))
  levels.forEach((level, index) => {
    if (index > 0 && level > levels[index - 1] + 1) found.push('a heading is skipped before ' + index)
  })
  for (const node of all('script,style,iframe,[style]')) found.push('not allowed: ' + shown(node))
  for (const node of all('svg')) {
    if (node.closest('[aria-hidden=true]') || node.parentElement.closest('svg')) continue
    const labelled = (node.getAttribute('aria-labelledby') || '').split(' ').some((id) => document.getElementById(id)?.textContent)
    if (node.getAttribute('role') !== 'img' || (!labelled && !has(node, 'aria-label'))) found.push('nameless: ' + shown(node))
  }
  for (const node of all('img')) if (!node.hasAttribute('alt')) found.push('nameless: ' + shown(node))
  for (const node of all('input,select,textarea')) {
    if (node.labels.length === 0 && !has(node, 'aria-label')) found.push('nameless: ' + shown(node))
  }
  for (const node of all('a,button,summary')) {
    if (node.textContent.trim() === '' && !has(node, 'aria-label')) found.push('nameless: ' + shown(node))
  }
  for (const node of all('table')) if (node.querySelectorAll('th[scope=col]').length === 0) found.push('no header: ' + shown(node))
  for (const node of all('[aria-labelledby],[aria-describedby]')) {
    for (const id of (node.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean)) {
      if (document.querySelectorAll('#' + CSS.escape(id)).length !== 1) found.push('no one ' + id)
    }
  }
  for (const node of all('*')) {
    const box = node.getBoundingClientRect()
    const isScrolled = getComputedStyle(node).overflowX === 'auto' && node.scrollWidth > node.clientWidth
    if (isScrolled && node.tabIndex < 0) found.push('is scrolled by mouse alone: ' + shown(node))
    if (box.width > 0 && box.left < -1 && !node.matches('.skip,.sr,.skip *')) found.push('begins outside: ' + shown(node))
  }
  const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number)
  const light = ([red, green, blue]) => {
    const part = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)
    return 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue)
  }
  const groundOf = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor)
      if (colour.length === 3 || colour[3] === 1) return colour
    }
    return [255, 255, 255]
  }
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const seen = new Set()
  while (words.nextNode()) {
    const node = words.currentNode.parentElement
    if (words.currentNode.textContent.trim() === '' || seen.has(node) || node.closest('option,title,desc,.skip')) continue
    seen.add(node)
    const style = getComputedStyle(node)
    const colour = channels(node.closest('svg') ? style.fill : style.color)
    const [one, other] = [light(colour), light(groundOf(node))].sort((a, b) => b - a)
    const contrast = (one + 0.05) / (other + 0.05)
    if (contrast < 4.5) found.push('contrast ' + contrast.toFixed(2) + ': ' + shown(node))
  }
  return found
})()`
