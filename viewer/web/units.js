'use strict';
// Numbers as the reports write them, and elements with text.

const data = JSON.parse(document.getElementById('data').textContent);

/** Nanoseconds for people, with three digits. */
function time(nanos) {
  const [scale, unit] = nanos < 999.5 ? [1, 'ns'] : nanos < 999.5e3 ? [1e3, 'us'] : nanos < 999.5e6 ? [1e6, 'ms'] : [1e9, 's'];
  const value = nanos / scale;
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
}

function count(number) {
  return Math.round(number).toLocaleString('en-US');
}

function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 0.05) return '<0.1 %';
  return `${value.toFixed(value >= 999.5 ? 0 : 1)} %`;
}

/** A change as a share, with its sign. */
function signed(share) {
  return `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %`;
}

/** An element with properties and children. Texts become text, never markup. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The value of a colour that the theme has. */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Whether a text has what is searched for; without capital letters, in any case. */
function matcher(term) {
  let expression;
  try {
    expression = new RegExp(term, /[A-Z]/.test(term) ? '' : 'i');
  } catch {
    return (text) => text.includes(term);
  }
  return (text) => expression.test(text);
}
