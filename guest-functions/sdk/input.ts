import { Host } from '@extism/as-pdk';
import { JsonReader } from './json-reader';

/**
 * What the host hands to a function, by the kind of its trigger: the shapes of ABI version 1. Members that a
 * function of this SDK has no field for are skipped, so the host may add some.
 */

export class Settings {
  /** `after-reserve` or `immediate`. */
  capture: string = '';
  /** How long units are set aside where their product says nothing. */
  holdTtlMs: i64 = 0;
  /** The host cuts whatever is asked for to this. */
  holdTtlMsMax: i64 = 0;
  /** Units of one product that an order may have. */
  maxQuantity: i64 = 0;
}

/** What was asked for; `unitPrice` is 0 until the order is registered. */
export class Line {
  sku: string = '';
  quantity: i64 = 0;
  /** Minor units. */
  unitPrice: i64 = 0;
}

export class Product {
  sku: string = '';
  name: string = '';
  /** Minor units. */
  unitPrice: i64 = 0;
  currency: string = '';
  /** Units of it that one order may have; 0 where only the shop's limit holds. */
  maxPerOrder: i64 = 0;
  /** How long its units are set aside; 0 where it is as long as the shop says. */
  holdTtlMs: i64 = 0;
}

export class Customer {
  id: string = '';
  email: string = '';
  /** Empty when the customer gave none. */
  name: string = '';
  /** Empty when the customer gave none. */
  address: string = '';
}

export class HttpInput {
  /** When the host asked, ms since the epoch: the only clock there is. */
  at: i64 = 0;
  orderId: string = '';
  method: string = '';
  path: string = '';
  customer: Customer = new Customer();
  currency: string = '';
  lines: Line[] = [];
  paymentMethod: string = '';
  /** One per distinct SKU asked for that the shop knows. */
  products: Product[] = [];
  settings: Settings = new Settings();

  static read(): HttpInput {
    const input = new HttpInput();
    const json = openInput();
    for (let name = json.nextName(); name !== null; name = json.nextName()) {
      if (name == 'at') input.at = json.readInteger();
      else if (name == 'orderId') input.orderId = json.readString();
      else if (name == 'request') readRequest(json, input);
      else if (name == 'products') input.products = readProducts(json);
      else if (name == 'settings') input.settings = readSettings(json);
      else json.skip();
    }
    json.end();
    return input;
  }
}

export class OrderInput {
  at: i64 = 0;
  /** The fact to act on, such as `registered`. */
  type: string = '';
  /** The fact's code, such as `card_declined`; empty when it has none. */
  code: string = '';
  orderId: string = '';
  state: string = '';
  currency: string = '';
  total: i64 = 0;
  lines: Line[] = [];
  capture: string = '';
  cancelRequested: bool = false;
  /** `pending`, `authorized`, `captured`, `refused`, `voided` or `refunded`. */
  paymentStatus: string = '';
  /** Those of the order's products that have a hold time of their own; of each, that and the SKU. */
  products: Product[] = [];
  settings: Settings = new Settings();

  static read(): OrderInput {
    const input = new OrderInput();
    const json = openInput();
    for (let name = json.nextName(); name !== null; name = json.nextName()) {
      if (name == 'at') input.at = json.readInteger();
      else if (name == 'type') input.type = json.readString();
      else if (name == 'code') input.code = json.readString();
      else if (name == 'order') readOrder(json, input);
      else if (name == 'products') input.products = readProducts(json);
      else if (name == 'settings') input.settings = readSettings(json);
      else json.skip();
    }
    json.end();
    return input;
  }
}

export class TimerInput {
  at: i64 = 0;
  name: string = '';
  /** The tick this call stands for, ms since the epoch. */
  scheduledAt: i64 = 0;
  /** Ended orders that the system of record does not have yet. */
  pendingOrders: i64 = 0;

  static read(): TimerInput {
    const input = new TimerInput();
    const json = openInput();
    for (let name = json.nextName(); name !== null; name = json.nextName()) {
      if (name == 'at') input.at = json.readInteger();
      else if (name == 'name') input.name = json.readString();
      else if (name == 'scheduledAt') input.scheduledAt = json.readInteger();
      else if (name == 'pendingOrders') input.pendingOrders = json.readInteger();
      else json.skip();
    }
    json.end();
    return input;
  }
}

function openInput(): JsonReader {
  const json = new JsonReader(Host.input());
  json.beginObject();
  return json;
}

function readRequest(json: JsonReader, input: HttpInput): void {
  json.beginObject();
  for (let name = json.nextName(); name !== null; name = json.nextName()) {
    if (name == 'method') input.method = json.readString();
    else if (name == 'path') input.path = json.readString();
    else if (name == 'body') readBody(json, input);
    else json.skip();
  }
}

function readBody(json: JsonReader, input: HttpInput): void {
  json.beginObject();
  for (let name = json.nextName(); name !== null; name = json.nextName()) {
    if (name == 'customer') input.customer = readCustomer(json);
    else if (name == 'currency') input.currency = json.readString();
    else if (name == 'lines') input.lines = readLines(json);
    else if (name == 'payment') input.paymentMethod = readPaymentMethod(json);
    else json.skip();
  }
}

function readCustomer(json: JsonReader): Customer {
  const customer = new Customer();
  json.beginObject();
  for (let name = json.nextName(); name !== null; name = json.nextName()) {
    if (name == 'id') customer.id = json.readString();
    else if (name == 'email') customer.email = json.readString();
    else if (name == 'name') customer.name = json.readString();
    else if (name == 'address') customer.address = json.readString();
    else json.skip();
  }
  return customer;
}

function readPaymentMethod(json: JsonReader): string {
  let method = '';
  json.beginObject();
  for (let name = json.nextName(); name !== null; name = json.nextName()) {
    if (name == 'method') method = json.readString();
    else json.skip();
  }
  return method;
}

function readOrder(json: JsonReader, input: OrderInput): void {
  json.beginObject();
  for (let name = json.nextName(); name !== null; name = json.nextName()) {
    if (name == 'id') input.orderId = json.readString();
    else if (name == 'state') input.state = json.readString();
    else if (name == 'currency') input.currency = json.readString();
    else if (name == 'total') input.total = json.readInteger();
    else if (name == 'lines') input.lines = readLines(json);
    else if (name == 'capture') input.capture = json.readString();
    else if (name == 'cancelRequested') input.cancelRequested = json.readBoolean();
    else if (name == 'paymentStatus') input.paymentStatus = json.readString();
    else json.skip();
  }
}

function readLines(json: JsonReader): Line[] {
  const lines: Line[] = [];
  json.beginArray();
  while (json.nextElement()) {
    const line = new Line();
    json.beginObject();
    for (let name = json.nextName(); name !== null; name = json.nextName()) {
      if (name == 'sku') line.sku = json.readString();
      else if (name == 'quantity') line.quantity = json.readInteger();
      else if (name == 'unitPrice') line.unitPrice = json.readInteger();
      else json.skip();
    }
    lines.push(line);
  }
  return lines;
}

function readProducts(json: JsonReader): Product[] {
  const products: Product[] = [];
  json.beginArray();
  while (json.nextElement()) {
    const product = new Product();
    json.beginObject();
    for (let name = json.nextName(); name !== null; name = json.nextName()) {
      if (name == 'sku') product.sku = json.readString();
      else if (name == 'name') product.name = json.readString();
      else if (name == 'unitPrice') product.unitPrice = json.readInteger();
      else if (name == 'currency') product.currency = json.readString();
      else if (name == 'maxPerOrder') product.maxPerOrder = json.readInteger();
      else if (name == 'holdTtlMs') product.holdTtlMs = json.readInteger();
      else json.skip();
    }
    products.push(product);
  }
  return products;
}

function readSettings(json: JsonReader): Settings {
  const settings = new Settings();
  json.beginObject();
  for (let name = json.nextName(); name !== null; name = json.nextName()) {
    if (name == 'capture') settings.capture = json.readString();
    else if (name == 'holdTtlMs') settings.holdTtlMs = json.readInteger();
    else if (name == 'holdTtlMsMax') settings.holdTtlMsMax = json.readInteger();
    else if (name == 'maxQuantity') settings.maxQuantity = json.readInteger();
    else json.skip();
  }
  return settings;
}
