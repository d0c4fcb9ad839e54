// What is selected: a request or a resource. All views show the same one.

const listeners = [];

export const selection = {
  request: null,
  resource: null, // its id
  set({ request = null, resource = null }) {
    this.request = request;
    this.resource = resource;
    for (const f of listeners) f();
  },
  on(f) { listeners.push(f); },
};
